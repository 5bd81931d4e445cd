"""Cosine sets: a random order, cut into sets that grow as the cosine falls (MaskGIT, arXiv 2202.04200; MAR, arXiv 2406.11838)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan


@dataclass(frozen=True)
class Cosine(Order):
    """Each sample's own uniformly random permutation, in `steps` sets."""

    steps: int

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """`unmasked_sizes`. Raises UsageError for more steps than sites."""
        if not 1 <= self.steps <= layout.sites:
            raise UsageError(f"steps must be 1 to {layout.sites}, got {self.steps}")
        return unmasked_sizes(layout.sites, self.steps)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """One permutation a sample, from its own stream."""
        return Plan(noise.permutation(layout.sites), self.sizes(layout))

    def given_first(self, plan: Plan, given: Tensor) -> Plan:
        """What is given, then the rest, each part in its random order."""
        late = plan.to_ranks(~given).to(torch.int8)
        return Plan(plan.perm.gather(1, late.argsort(dim=1, stable=True)), plan.sizes)


def unmasked_sizes(sites: int, steps: int) -> tuple[int, ...]:
    """After step s of K (from 0) floor(N cos(pi/2 (s + 1) / K)) sites stay unknown, at least 1 less each time; the last takes all.

    Where too few sites are left for every step to take one, there are fewer steps.
    """
    unknown = [sites]
    for step in range(1, steps):
        wanted = math.floor(sites * math.cos(math.pi / 2 * step / steps))
        unknown.append(max(1, min(wanted, unknown[-1] - 1)))
    return tuple(a - b for a, b in zip(unknown, [*unknown[1:], 0], strict=True) if a > b)
