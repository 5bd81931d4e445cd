"""Frechet distance of two sets of features seen as Gaussians (Heusel et al. 2017, arXiv 1706.08500), and kernel distance.

    d^2 = |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a^(1/2) S_b S_a^(1/2))^(1/2))

The last trace is the sum of the singular values of S_a^(1/2) S_b^(1/2), which needs no root of a product: what rounding leaves in
the null space of a covariance stays as small as it is instead of growing to its square root. Everything is float64.
Legend: B batch, F features.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import NextsetError, UsageError
from ..files import write_stream


class Moments:
    """Mean and covariance of features that arrive in batches; memory does not grow with their number.

    Batches and shards are merged pairwise (Chan, Golub and LeVeque 1979), so the order matters only to rounding.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self._scatter = torch.zeros(dim, dim, dtype=torch.float64)  # sum of (x - mean)(x - mean)'

    @property
    def dim(self) -> int:
        """F, the number of features."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance (F, F). Raises UsageError for fewer than two samples."""
        if self.count < 2:
            raise UsageError(f"a covariance needs at least 2 samples, got {self.count}")
        return self._scatter / (self.count - 1)

    @property
    def identity(self) -> str:
        """The first 12 hex digits of the SHA-256 of mean and covariance."""
        return hashlib.sha256(self.mean.numpy().tobytes() + self.covariance.numpy().tobytes()).hexdigest()[:12]

    def add(self, features: Tensor) -> None:
        """Takes in features (B, F), on any device."""
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise UsageError(f"features must be (B, {self.dim}), got {tuple(features.shape)}")
        if not len(features):
            return
        x = features.detach().cpu().double()  # on the CPU: not every device has float64, and the sums are small
        mean = x.mean(0)
        deviation = x - mean
        self._merge(len(x), mean, deviation.T @ deviation)

    def merge(self, other: Moments) -> None:
        """Takes in what `other` has seen, as if its samples had been added here."""
        if other.dim != self.dim:
            raise UsageError(f"moments of {self.dim} and {other.dim} features cannot be merged")
        self._merge(other.count, other.mean, other._scatter)

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        total = self.count + count
        if not total:
            return
        shift = mean - self.mean
        self.mean = self.mean + shift * (count / total)
        self._scatter = self._scatter + scatter + torch.outer(shift, shift) * (self.count * count / total)
        self.count = total

    def save(self, path: str | Path) -> None:
        """Writes `mu` (F,) and `sigma` (F, F), as the usual statistics files do, and `count`; atomically."""
        mu, sigma, count = self.mean.numpy(), self.covariance.numpy(), np.array(self.count)
        write_stream(Path(path), lambda file: np.savez(file, mu=mu, sigma=sigma, count=count))

    @classmethod
    def load(cls, path: str | Path, ending: str = "") -> Moments:
        """Reads such a file; `ending` "_s" reads mu_s and sigma_s, as ADM's files name those of spatial features.

        Where it does not tell `count`, as ADM's do not, 50 000 is taken, which matters only to `merge`.
        """
        names = f"mu{ending}", f"sigma{ending}"
        if not npz_names(path) >= set(names):
            raise UsageError(f"{path} is no statistics file: it has no {' and '.join(names)}")
        with _opened(path) as file:
            mu, sigma = (np.asarray(file[name], np.float64) for name in names)
            count = int(file["count"]) if "count" in file else 50_000
        if (
            mu.ndim != 1
            or sigma.shape != (len(mu), len(mu))
            or not (np.isfinite(mu).all() and np.isfinite(sigma).all())
        ):
            raise UsageError(
                f"{path}: {names[0]} must be (F,) and {names[1]} (F, F), finite, got {mu.shape} and {sigma.shape}"
            )
        moments = cls(len(mu))
        moments.count, moments.mean = count, torch.from_numpy(mu)
        moments._scatter = torch.from_numpy(sigma) * (count - 1)
        return moments


def npz_names(path: str | Path) -> set[str]:
    """Names of the arrays in an `.npz`. Raises UsageError where there is none, NextsetError where it is damaged."""
    with _opened(path) as file:
        return set(file.files)


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise UsageError(f"{path} is one array; give an .npz")
        with found as file:
            yield file
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist; give an .npz with mu and sigma") from error
    except UsageError:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError) as error:
        raise NextsetError(f"{path} is damaged or cut short ({error}); write it again") from error


def frechet(a: Moments, b: Moments) -> float:
    """Squared Frechet distance of two sets of features: the FID where they are Inception's. Never negative; 0 for equal moments."""
    if a.dim != b.dim:
        raise UsageError(f"moments of {a.dim} and {b.dim} features cannot be compared; use one extractor for both")
    if not (torch.isfinite(a.mean).all() and torch.isfinite(b.mean).all()):
        raise NextsetError("features are not finite, so there is no distance; look at the samples")
    left, right = a.covariance, b.covariance
    shared = torch.linalg.svdvals(_root(left) @ _root(right)).sum()
    distance = (a.mean - b.mean).square().sum() + left.trace() + right.trace() - 2 * shared
    return max(0.0, distance.item())


def _root(covariance: Tensor) -> Tensor:
    """Symmetric square root; eigenvalues within rounding of zero are zero, whatever their sign."""
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    noise = values.abs().max() * len(values) * torch.finfo(values.dtype).eps
    return (vectors * torch.where(values > noise, values, 0).sqrt()) @ vectors.T


def kid(a: Tensor, b: Tensor, chunk: int = 4096) -> float:
    """Kernel distance (Binkowski et al. 2018, arXiv 1801.01401) of features (B, F): unbiased MMD^2 under (x.y / F + 1)^3.

    All pairs are used, instead of averaging over random subsets, so there is nothing random in it. It can be negative.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise UsageError(f"features must be (at least 2, F) each, got {tuple(a.shape)} and {tuple(b.shape)}")
    a, b = a.double(), b.double()

    def total(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([(part @ y.T / y.shape[1] + 1).pow(3).sum() for part in x.split(chunk)]).sum()

    def within(x: Tensor) -> Tensor:
        diagonal = (x.square().sum(1) / x.shape[1] + 1).pow(3).sum()
        return (total(x, x) - diagonal) / (len(x) * (len(x) - 1))

    return (within(a) + within(b) - 2 * total(a, b) / (len(a) * len(b))).item()
