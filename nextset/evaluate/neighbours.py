"""Improved precision and recall (Kynkaanniemi et al. 2019, arXiv 1904.06991), density and coverage (Naeem et al. 2020, 2002.09797).

A set of features stands for its manifold: the union of balls around its points, each reaching to the point's k-th nearest
neighbour. Precision is the share of samples inside the manifold of the real pictures, recall the share of real pictures inside
the manifold of the samples. One stray real picture has a large ball, and samples that are all alike can sit inside it: a precision
says something only beside its recall and the Frechet distance. Density counts in how many balls of the real pictures a sample lies,
over k, and coverage the real pictures in whose balls there is a sample; a stray picture weighs little in both. Legend: M, N points, F features.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..errors import NextsetError, UsageError

# |x - y|^2 by expansion is off by about F * 2^-52 of the squared norms; a point must still lie in a ball whose edge it is
SLACK = 1e-10


def precision_recall(real: Tensor, samples: Tensor, k: int = 3, chunk: int = 1024) -> tuple[float, float]:
    """Precision and recall in [0, 1] of features (M, F) of real pictures and (N, F) of samples.

    Distances are made `chunk` rows at a time, in float64. The published figures use M = N (10 000 to 50 000): both depend on them.
    """
    real, samples = _centred(real, samples, k)
    precision = _inside(samples, real, radii(real, k, chunk), chunk)
    recall = _inside(real, samples, radii(samples, k, chunk), chunk)
    return precision, recall


def density_coverage(real: Tensor, samples: Tensor, k: int = 5, chunk: int = 1024) -> tuple[float, float]:
    """Density (1 for the real pictures themselves, no upper end) and coverage in [0, 1]; arguments as `precision_recall`.

    Balls are open here, as in the authors' code: their edges would add 1 / k to the density. The paper's k is 5.
    """
    real, samples = _centred(real, samples, k)
    reach = radii(real, k, chunk) - SLACK * real.square().sum(1).mean()
    inside, reached = 0, torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for _, distances in _squared(samples, real, chunk):
        within = distances < reach
        inside += int(within.sum())
        reached |= within.any(0)
    return inside / (k * len(samples)), reached.double().mean().item()


def _centred(real: Tensor, samples: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Both in float64 around the mean of the real ones: distances stay, rounding shrinks."""
    if real.ndim != 2 or samples.ndim != 2 or real.shape[1] != samples.shape[1]:
        raise UsageError(f"features must be (M, F) and (N, F), got {tuple(real.shape)} and {tuple(samples.shape)}")
    if k < 1 or min(len(real), len(samples)) <= k:
        raise UsageError(f"k = {k} needs more than k >= 1 points in each set, got {len(real)} and {len(samples)}")
    if not (torch.isfinite(real).all() and torch.isfinite(samples).all()):
        raise NextsetError("features are not finite, so nothing is near; look at the samples")
    centre = real.double().mean(0)
    return real.double() - centre, samples.double() - centre


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
