"""Subsamples: every h-th row and w-th column of the grid, from another corner each step (one of the entities of xAR, arXiv 2502.20388)."""

from __future__ import annotations

from dataclasses import dataclass

from ..layout import Layout
from ..noise import Noise
from .base import Plan
from .cells import Divided


@dataclass(frozen=True)
class Subsamples(Divided):
    """`height` x `width` steps; step (i, j) takes the sites (i + height a, j + width b), row by row. They must divide the grid."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """Equal steps. Raises UsageError for a layout that is no grid, or not divided."""
        rows, columns = self.counted(layout)
        return (rows * columns,) * (self.height * self.width)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """The same for every sample."""
        return Plan(self.divided(layout, noise).permute(1, 3, 0, 2).flatten(), self.sizes(layout))
