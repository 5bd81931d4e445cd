"""Improved precision and recall (Kynkaanniemi et al. 2019, arXiv 1904.06991).

A set of features stands for its manifold: the union of balls around its points, each reaching to the point's k-th nearest
neighbour. Precision is the share of samples inside the manifold of the real pictures, recall the share of real pictures inside
the manifold of the samples. One stray real picture has a large ball, and samples that are all alike can sit inside it: a precision
says something only beside its recall and the Frechet distance. Legend: M, N points, F features.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..errors import UsageError

# |x - y|^2 by expansion is off by about F * 2^-52 of the squared norms; a point must still lie in a ball whose edge it is
SLACK = 1e-10


def precision_recall(real: Tensor, samples: Tensor, k: int = 3, chunk: int = 1024) -> tuple[float, float]:
    """Precision and recall in [0, 1] of features (M, F) of real pictures and (N, F) of samples.

    Distances are made `chunk` rows at a time, in float64. The published figures use M = N (10 000 to 50 000): both depend on them.
    """
    if real.ndim != 2 or samples.ndim != 2 or real.shape[1] != samples.shape[1]:
        raise UsageError(f"features must be (M, F) and (N, F), got {tuple(real.shape)} and {tuple(samples.shape)}")
    if k < 1 or min(len(real), len(samples)) <= k:
        raise UsageError(f"k = {k} needs more than k >= 1 points in each set, got {len(real)} and {len(samples)}")
    centre = real.double().mean(0)  # distances stay, rounding shrinks
    real, samples = real.double() - centre, samples.double() - centre
    precision = _inside(samples, real, radii(real, k, chunk), chunk)
    recall = _inside(real, samples, radii(samples, k, chunk), chunk)
    return precision, recall


def radii(points: Tensor, k: int, chunk: int = 1024) -> Tensor:
    """Squared distance of each point (N, F) to its k-th nearest neighbour, itself not counted: (N,)."""
    rows = []
    for start, distances in _squared(points, points, chunk):
        own = torch.arange(len(distances), device=points.device)
        distances[own, own + start] = torch.inf
        rows.append(distances.topk(k, largest=False).values[:, -1])
    return torch.cat(rows)


def _inside(points: Tensor, centres: Tensor, reach: Tensor, chunk: int) -> float:
    slack = SLACK * centres.square().sum(1).mean()
    inside = [(distances <= reach + slack).any(1) for _, distances in _squared(points, centres, chunk)]
    return torch.cat(inside).double().mean().item()


def _squared(x: Tensor, y: Tensor, chunk: int) -> Iterator[tuple[int, Tensor]]:
    """(first row, squared distances (chunk, N) of these rows of x to all of y)."""
    norms = y.square().sum(1)
    for start in range(0, len(x), chunk):
        rows = x[start : start + chunk]
        yield start, (rows.square().sum(1, keepdim=True) + norms - 2 * rows @ y.T).clamp_min(0)
