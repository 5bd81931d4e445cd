"""Scales: the blocks of a pyramid from coarse to fine, every site of a block at once (VAR, arXiv 2404.02905).

`Schedules` is the same, but each training batch has sides of its own (FlexVAR, arXiv 2502.20313).
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout, pyramid
from ..noise import Noise, mix
from .base import Order, Plan


class ByScale(Order, ABC):
    """One step a block of the layout, in its order."""

    @property
    @abstractmethod
    def varied(self) -> bool:
        """Whether training batches have sides of their own."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """The sites of each block."""
        return tuple(math.prod(block) for block in layout.blocks)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """The identity for every sample."""
        return Plan(torch.arange(layout.sites, device=noise.device), self.sizes(layout), layout)

    def kept(self, layout: Layout, region: Tensor) -> Tensor:
        """At the last scale what is untouched, at earlier ones what is covered by half at most."""
        untouched = ~layout.touched(region)
        shares = [F.interpolate(region[:, None].float(), block[-2:], mode="area") for block in layout.blocks[:-1]]
        coarse = [(share <= 0.5).flatten(1) for share in shares]
        last = math.prod(layout.blocks[-1])
        return torch.cat([*coarse, untouched[:, -last:]], dim=1)


@dataclass(frozen=True)
class Scales(ByScale):
    """Every batch has the sides of the system."""

    @property
    def varied(self) -> bool:
        """They are not."""
        return False


@dataclass(frozen=True)
class Schedules(ByScale):
    """Steps as in `Scales`; training goes over drawn sides.

    With probability `usual` a batch has the sides of the system. Else they are `first`, then for every (low, high, count) of
    `inner` so many distinct sides in low..high, then the system's last. With probability drops[i] more than i of the sides after
    `first` and before the last are left out. While there are more than `longest` sites (0: any number), one of the last
    four sides goes, which may be the last.
    """

    first: tuple[int, ...] = (1, 2)
    inner: tuple[tuple[int, int, int], ...] = ((3, 10, 5), (11, 15, 2))
    usual: float = 0.05
    drops: tuple[float, ...] = (0.1, 0.05, 0.02, 0.01)
    longest: int = 680

    def __post_init__(self) -> None:
        if not self.first or any(low < 1 or not 0 <= count <= high + 1 - low for low, high, count in self.inner):
            raise UsageError(f"{self}: give a first side, and no more inner sides than there are in low..high")

    @property
    def varied(self) -> bool:
        """They are drawn."""
        return True

    def practised(self, layout: Layout, seed: int) -> Layout:
        """A pyramid of drawn sides."""
        draw = random.Random(mix("schedule", seed))
        sides = [block[-1] for block in layout.blocks]
        if draw.random() >= self.usual:
            inner = [side for low, high, count in self.inner for side in draw.sample(range(low, high + 1), count)]
            sides = [*self.first, *sorted(inner), sides[-1]]
        chance = draw.random()
        for drop in self.drops:
            if chance < drop and len(sides) > len(self.first) + 1:
                sides.pop(draw.randrange(len(self.first), len(sides) - 1))
        while self.longest and sum(side * side for side in sides) > self.longest and len(sides) > 1:
            sides.pop(draw.randrange(max(len(sides) - 4, 0), len(sides)))
        return pyramid(*sides)
