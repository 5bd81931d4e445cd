"""What samples are judged against, where it lies in files: pictures, and moments that were measured once.

ADM's reference files (`VIRTUAL_imagenet256_labeled.npz`) hold both: `arr_0`, ten thousand pictures for precision and recall, and
`mu`, `sigma`, `mu_s`, `sigma_s`, the moments of the whole training set for FID and sFID.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.base import Dataset, Item
from ..data.batch import Stack
from ..errors import UsageError
from .frechet import Moments, npz_names
from .samples import Samples, load_samples

SPATIAL = "_s"  # how mu and sigma of spatial features end


@dataclass(frozen=True)
class Statistics:
    """Moments of reference pictures: of features (mu, sigma) and of spatial features (mu_s, sigma_s), each where it is known."""

    features: Moments | None = None
    spatial: Moments | None = None

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Reads an `.npz` with mu and sigma, and mu_s and sigma_s where it has them; errors as `Moments.load`."""
        spatial = f"mu{SPATIAL}" in npz_names(path)
        return cls(Moments.load(path), Moments.load(path, SPATIAL) if spatial else None)

    def identity(self, metrics: set[str]) -> str:
        """Hashes of the moments that stand for the data in these metrics, "" for none."""
        used = [self.features] if "frechet" in metrics else []
        used += [self.spatial] if "sfid" in metrics else []
        return "+".join(moments.identity for moments in used if moments)


class Pictures(Dataset):
    """Pictures in files as a data set, with their labels where they are known."""

    def __init__(self, samples: Samples) -> None:
        self.samples, self.name, self.shape = samples, samples.path.name, samples.shape

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        stack = self.stack(np.array([index]))
        return Item(stack.images[0], int(stack.labels[0]))

    def stack(self, index: np.ndarray) -> Stack:
        """The pictures `index` (B,)."""
        first, last = int(index[0]), int(index[-1]) + 1
        if last - first == len(index):  # neighbours, read at once
            images = self.samples.read(first, last)
        else:
            images = np.concatenate([self.samples.read(int(i), int(i) + 1) for i in index])
        labels = self.samples.labels
        known = np.full(len(index), -1) if labels is None else labels.numpy()[index]
        return Stack(images, known, [""] * len(index))


def open_reference(path: str | Path) -> tuple[Pictures, Statistics | None]:
    """Pictures of an `.npz` or a folder of PNGs, and the moments that an `.npz` holds beside them.

    Raises UsageError where there are no pictures, NextsetError for a damaged file.
    """
    moments = Path(path).suffix == ".npz" and "mu" in npz_names(path)
    if moments and "arr_0" not in npz_names(path):
        raise UsageError(f"data {path} holds moments and no pictures; give it as statistics, beside pictures as data")
    return Pictures(load_samples(path)), Statistics.load(path) if moments else None
