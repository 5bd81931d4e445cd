"""Cells: the grid cut into equal rectangles, one a step, row by row, and row by row inside (xAR, arXiv 2502.20388; ACDiT, 2412.07720).

One site a cell is the raster order, one cell for all is no order at all: a plain diffusion model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan


@dataclass(frozen=True)
class Cells(Order):
    """Cells of `height` x `width` sites, which must divide the grid."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise UsageError(f"{self}: height and width must be at least 1")

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """One cell a step. Raises UsageError for a layout that is no grid of whole cells."""
        rows, columns = whole_cells(self, layout, self.height, self.width)
        return (self.height * self.width,) * (rows * columns)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """The same for every sample."""
        rows, columns = whole_cells(self, layout, self.height, self.width)
        sites = torch.arange(layout.sites, device=noise.device).view(rows, self.height, columns, self.width)
        return Plan(sites.transpose(1, 2).flatten(), self.sizes(layout))


def whole_cells(order: Order, layout: Layout, height: int, width: int) -> tuple[int, int]:
    """How many cells of `height` x `width` a grid has, down and across. Raises UsageError where they do not fill one."""
    if layout.axes != ("y", "x") or layout.shape[0] % height or layout.shape[1] % width:
        raise UsageError(f"order {order} needs a grid that {height} x {width} sites divide, got {layout}")
    return layout.shape[0] // height, layout.shape[1] // width
