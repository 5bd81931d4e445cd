"""Cells: the grid cut into equal rectangles, one a step, row by row, and row by row inside (xAR, arXiv 2502.20388; ACDiT, 2412.07720).

One site a cell is the raster order, one cell for all is no order at all: a plain diffusion model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan


@dataclass(frozen=True)
class Divided(Order):
    """Orders of a grid that rectangles of `height` x `width` sites divide, the same for every sample."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise UsageError(f"{self}: height and width must be at least 1")

    def counted(self, layout: Layout) -> tuple[int, int]:
        """How many rectangles there are, down and across. Raises UsageError for a layout that is no grid of whole ones."""
        if layout.axes != ("y", "x") or layout.shape[0] % self.height or layout.shape[1] % self.width:
            raise UsageError(f"order {self} needs a grid that {self.height} x {self.width} sites divide, got {layout}")
        return layout.shape[0] // self.height, layout.shape[1] // self.width

    def divided(self, layout: Layout, noise: Noise) -> Tensor:
        """The sites by rectangle and by place inside, (rows, height, columns, width)."""
        rows, columns = self.counted(layout)
        return torch.arange(layout.sites, device=noise.device).view(rows, self.height, columns, self.width)


@dataclass(frozen=True)
class Cells(Divided):
    """Every rectangle is one step."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """Height x width sites a step."""
        rows, columns = self.counted(layout)
        return (self.height * self.width,) * (rows * columns)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """Cell by cell."""
        return Plan(self.divided(layout, noise).transpose(1, 2).flatten(), self.sizes(layout))
