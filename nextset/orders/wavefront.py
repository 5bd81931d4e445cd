"""Wavefront order: sites of one distance from the corner at once, nearest first (NAR, arXiv 2503.10696).

On a grid these are the anti-diagonals, each from its top row down: H + W - 1 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan


@dataclass(frozen=True)
class Wavefront(Order):
    """Step k takes all sites whose coordinates sum to k, as the layout lists them. Layouts of several blocks are refused."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """How many sites have each distance."""
        return tuple(np.bincount(_distances(layout)).tolist())

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """One order for every sample."""
        perm = torch.as_tensor(_distances(layout).argsort(kind="stable"), device=noise.device)
        return Plan(perm, self.sizes(layout))


def _distances(layout: Layout) -> np.ndarray:
    """The sum of the coordinates of every site, (N,)."""
    return np.indices(layout.shape).sum(0).flatten()
