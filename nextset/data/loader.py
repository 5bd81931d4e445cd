"""Batches of pictures from any data set: cropped, scaled, augmented, reproducible from (seed, step)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..noise import mix
from .base import Dataset, Item
from .batch import Batch, Batches, Stack, Stacking
from .crop import to_float, to_image
from .schedule import Schedule


@dataclass(frozen=True)
class Loader(Batches):
    """Batches of `batch` pictures (over all `world` processes) of `size` (H, W) and `channels` from `dataset`.

    `augment` crops and mirrors at random, seeded by (seed, epoch, index): resuming at any step gives the same pictures.
    Captions stay as they are, so it is not for those that tell left from right.
    `workers` processes read ahead; the batches are the same with any number of them. UsageError where `batch` does not
    divide among the processes; NextsetError naming the file where a picture cannot be read.
    """

    dataset: Dataset
    batch: int
    size: tuple[int, int]
    channels: int
    seed: int = 0
    shuffle: bool = True
    augment: bool = False
    rank: int = 0
    world: int = 1
    workers: int = 0

    def __post_init__(self) -> None:
        _ = self.schedule  # says now what is wrong with batch, rank or world

    @functools.cached_property
    def schedule(self) -> Schedule:
        """Which items make which batch."""
        return Schedule(len(self.dataset), self.batch, self.seed, self.shuffle, self.rank, self.world)

    def gather(self, index: np.ndarray, epochs: np.ndarray | None) -> Batch:
        """The items `index` (B,), augmented as their `epochs` (B,) decide."""
        if epochs is None or not self.augment:
            stack = self._stack(index)
            if stack is not None:
                images, labels = to_float(stack.images), torch.from_numpy(stack.labels)
                return Batch(images, labels, tuple(stack.captions), torch.from_numpy(index))
        items = [self.dataset[int(i)] for i in index]
        images = torch.stack([self._image(item, k, index, epochs) for k, item in enumerate(items)])
        labels = torch.tensor([item.label for item in items], dtype=torch.int64)
        return Batch(images, labels, tuple(item.caption for item in items), torch.from_numpy(index))

    def _image(self, item: Item, k: int, index: np.ndarray, epochs: np.ndarray | None) -> Tensor:
        if epochs is None or not self.augment:
            return to_image(item, self.size, self.channels)
        rng = np.random.default_rng(mix("augment", self.seed, int(epochs[k]), int(index[k])))
        return to_image(item, self.size, self.channels, "random", True, rng)

    def _stack(self, index: np.ndarray) -> Stack | None:
        """The items at once, where the data set can and they need no cropping."""
        data = self.dataset
        return data.stack(index) if isinstance(data, Stacking) and data.shape == (*self.size, self.channels) else None


def once(
    dataset: Dataset, batch: int, size: tuple[int, int], channels: int, rank: int = 0, world: int = 1, workers: int = 0
) -> Iterator[Batch]:
    """Every item of `dataset` exactly once, in order, the last batch short; process `rank` gets every `world`-th item."""
    return Loader(dataset, batch, size, channels, rank=rank, world=world, workers=workers).once()
