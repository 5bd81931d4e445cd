"""Raster order: one site a step, row by row (the order of PixelCNN, ImageGPT and LlamaGen)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan


@dataclass(frozen=True)
class Raster(Order):
    """Sites as the layout lists them, one a step."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """(1,) * N."""
        return (1,) * layout.sites

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """The identity for every sample."""
        return Plan(torch.arange(layout.sites, device=noise.device), self.sizes(layout))
