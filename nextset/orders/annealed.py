"""Annealed order: random permutations that give way to the raster in the course of training (RAR, arXiv 2411.00776).

Each sample of a batch goes with probability r in an order of its own, else row by row; r is 1, then falls linearly, then is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan
from .random import Random
from .raster import Raster


@dataclass(frozen=True)
class Mixture(Order):
    """One site a step: a `share` of the samples in a uniformly random order each, the others row by row."""

    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(f"{self}: share must lie in [0, 1]")

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """(1,) * N."""
        return (1,) * layout.sites

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """One permutation a sample, from its own stream."""
        shuffled, chance = noise.permutation(layout.sites), noise.uniform(1)
        raster = torch.arange(layout.sites, device=noise.device)
        return Plan(torch.where(chance < self.share, shuffled, raster), self.sizes(layout))


@dataclass(frozen=True)
class Annealed(Order):
    """Random orders until `start` of the training, fewer and fewer until `stop`, then only the raster (the paper: 0.5 and 0.75).

    Drawn and judged in raster. Edits keep the raster too: after its last part of training the model is one of that order, and
    what comes later in it cannot be heeded; a model that stays random (`order=Random()`) starts edits with what is given.
    """

    start: float = 0.5
    stop: float = 0.75

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop <= 1:
            raise UsageError(f"{self}: start and stop are parts of the training, 0 <= start <= stop <= 1")

    def share(self, progress: float) -> float:
        """r, the part of the samples that go in a random order at `progress` in [0, 1] of the training."""
        if not self.start < progress < self.stop:
            return float(progress < self.stop)
        return (self.stop - progress) / (self.stop - self.start)

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """(1,) * N."""
        return Raster().sizes(layout)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """The raster, for every sample."""
        return Raster().plan(layout, noise)

    def trained(self, progress: float = 1.0) -> Order:
        """The order of that moment; at the end the raster."""
        share = self.share(progress)
        return Mixture(share) if 0 < share < 1 else Random() if share else Raster()
