"""Which items make which batch: epochs of seeded permutations, cut into steps and shared among processes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..noise import mix


@dataclass(frozen=True)
class Schedule:
    """Indices into `count` items for steps of `batch` items over `world` processes, of which this one is `rank`.

    Epoch e is a permutation seeded by (seed, e). A last step that would be short is dropped, except where the items do not
    even fill one batch: then epochs follow each other without a gap.
    """

    count: int
    batch: int
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError("dataset is empty: there is nothing to make batches of")
        if self.batch < 1 or self.batch % self.world:
            raise UsageError(f"batch={self.batch} must be a positive multiple of the {self.world} processes")
        if not 0 <= self.rank < self.world:
            raise UsageError(f"rank={self.rank} must be in 0..{self.world - 1}")

    @property
    def share(self) -> int:
        """Items of a step for this process."""
        return self.batch // self.world

    @property
    def steps(self) -> int:
        """Steps of an epoch, at least 1."""
        return max(self.count // self.batch, 1)

    @property
    def rounds(self) -> int:
        """Pieces of `once` that every process has."""
        return -(-(self.count // self.world) // self.share)

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """This process's items of `step`: their places in the data set and the epochs they belong to, (share,) int64 each."""
        places = self.rank * self.share + np.arange(self.share)
        if self.count >= self.batch:
            epoch, within = divmod(step, self.steps)
            index = order(self, epoch)[within * self.batch + places]
            return index, np.full_like(index, epoch)
        epochs, places = np.divmod(step * self.batch + places, self.count)
        return np.array([order(self, int(e))[p] for e, p in zip(epochs, places, strict=True)]), epochs

    def once(self) -> Iterator[np.ndarray]:
        """This process's items in order, each once, in pieces of `share` (the last may be shorter)."""
        own = np.arange(self.rank, self.count, self.world)
        return (own[at : at + self.share] for at in range(0, len(own), self.share))


@functools.lru_cache(maxsize=4)
def order(schedule: Schedule, epoch: int) -> np.ndarray:
    """The permutation of the items in `epoch`, (count,) int64."""
    if not schedule.shuffle:
        return np.arange(schedule.count)
    return np.random.default_rng(mix("order", schedule.seed, epoch)).permutation(schedule.count)
