"""Subsamples: every h-th row and w-th column of the grid, from another corner each step (one of the entities of xAR, arXiv 2502.20388)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan
from .cells import whole_cells


@dataclass(frozen=True)
class Subsamples(Order):
    """`height` x `width` steps; step (i, j) takes the sites (i + height a, j + width b), row by row. They must divide the grid."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise UsageError(f"{self}: height and width must be at least 1")

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """Equal steps. Raises UsageError for a layout that is no grid, or not divided."""
        rows, columns = whole_cells(self, layout, self.height, self.width)
        return (rows * columns,) * (self.height * self.width)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """The same for every sample."""
        rows, columns = whole_cells(self, layout, self.height, self.width)
        sites = torch.arange(layout.sites, device=noise.device).view(rows, self.height, columns, self.width)
        return Plan(sites.permute(1, 3, 0, 2).flatten(), self.sizes(layout))
