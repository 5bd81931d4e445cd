"""Neighbours: a token's slot predicts the site to its right and, by a second readout, the one below (NAR, arXiv 2503.10696).

Two proposals for one site are averaged; the first site gets both from the last condition slot. A slot sees every site at most as
far from the corner as its own, so a whole anti-diagonal is predicted at once, from the one before.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..layout import Codec, Layout, Unit
from ..slots import NONE, PREFIX, SlotTable
from .base import Wiring
from .shift import ShiftModule


@dataclass(frozen=True)
class Neighbours(Wiring):
    """For wavefronts of a grid. `tall`: it has more rows than columns, which step sizes do not tell. `std` of the initial embedding."""

    tall: bool = False
    std: float = 0.02

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Condition slots, then every token but the last."""
        return _table(self.tall, sizes, prefix)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The condition slots at first, then the tokens just drawn."""
        table = _table(self.tall, sizes, prefix)
        return table.take(np.flatnonzero(table.sees <= 0 if index == 0 else table.sees == index))

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> ShiftModule:
        """The embedding table. Raises UsageError where the layout is no grid of that form."""
        if layout.axes != ("y", "x"):
            raise UsageError(f"wiring Neighbours needs a grid of y and x, but this layout has the axes {layout.axes}")
        height, width = layout.shape
        if height != width and (height > width) != self.tall:
            raise UsageError(f"wiring Neighbours: {height} x {width} sites need tall={height > width}")
        return ShiftModule(dim, unit, self.std)


@functools.lru_cache(maxsize=32)
def _table(tall: bool, sizes: tuple[int, ...], prefix: int) -> SlotTable:
    short = max(sizes)
    long = len(sizes) - short + 1
    height, width = (long, short) if tall else (short, long)
    if long < short or sizes != tuple(np.bincount(np.add.outer(range(height), range(width)).flatten())):
        raise UsageError(f"wiring Neighbours needs wavefronts of a grid, but the order takes {sizes}")
    if prefix < 1:
        raise UsageError("wiring Neighbours predicts the first site from a condition slot, but the condition has none")
    places = sorted(((h, w) for h in range(height) for w in range(width)), key=lambda place: (sum(place), place))
    rank = {place: index for index, place in enumerate(places)}
    held = places[:-1]
    start = np.arange(1 - prefix, 1)
    first = np.where(start == 0, 0, NONE)
    holds = np.append(np.full(prefix, PREFIX), np.arange(len(held)))
    time = np.append(start, [h + w + 1 for h, w in held])
    right = np.append(first, [rank.get((h, w + 1), NONE) for h, w in held])
    below = np.append(first, [rank.get((h + 1, w), NONE) for h, w in held])
    return SlotTable.of(holds, holds, right, avail=time, sees=time, also=below)
