"""Region order: first one site of every region, one by one, then a site of every region at once (PAR, arXiv 2412.15119).

The grid is cut into equal regions; the walk is raster inside a region, and lists the regions at each offset row by row.
Sites of one step lie a region apart, so they depend on each other little.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan


@dataclass(frozen=True)
class Regions(Order):
    """`rows` x `columns` regions; n of them make n steps of one site, then N / n - 1 steps of n."""

    rows: int = 2
    columns: int = 2

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """(1,) * n, then (n,) * (N / n - 1). Raises UsageError where the grid is not cut evenly."""
        if layout.axes != ("y", "x"):
            raise UsageError(f"order Regions cuts a grid of y and x, but this layout has the axes {layout.axes}")
        height, width = layout.shape
        if min(self.rows, self.columns) < 1 or height % self.rows or width % self.columns:
            raise UsageError(
                f"order Regions: {self.rows} x {self.columns} regions do not cut {height} x {width} sites evenly"
            )
        count = self.rows * self.columns
        return (1,) * count + (count,) * (layout.sites // count - 1)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """One order for every sample."""
        sizes = self.sizes(layout)
        regions = torch.arange(layout.sites, device=noise.device).reshape(
            self.rows, layout.shape[0] // self.rows, self.columns, layout.shape[1] // self.columns
        )
        return Plan(regions.permute(1, 3, 0, 2).flatten(), sizes)
