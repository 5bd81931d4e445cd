"""Diagonal order: along the anti-diagonals of a grid, every second one backwards, so that no step is longer than sqrt(2).

The walk of JPEG's zig-zag: (0,0), (0,1), (1,0), (2,0), (1,1), (0,2), ... as (row, column). DAR (arXiv 2503.11129) writes pictures
like this; a raster jumps back over the whole width at every line break.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan


@dataclass(frozen=True)
class Diagonal(Order):
    """One site a step. Even diagonals (row + column) go up and right, odd ones down and left."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """(1,) * N. Raises UsageError for anything but one box of two axes."""
        if len(layout.blocks) != 1 or len(layout.axes) != 2:
            raise UsageError(f"order Diagonal walks over a grid of rows and columns, not over {layout}; use Raster()")
        return (1,) * layout.sites

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """The same walk for every sample."""
        sizes = self.sizes(layout)
        row, column = layout.coordinates().unbind(1)
        diagonal = row + column
        along = torch.where(diagonal % 2 == 0, column, row)
        walk = (diagonal * (max(layout.shape) + 1) + along).argsort()
        return Plan(walk.to(noise.device), sizes)
