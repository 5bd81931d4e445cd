"""Random order: each sample's sites in an order of its own, one a step, or in growing steps (RandAR, arXiv 2412.01827)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan


@dataclass(frozen=True)
class Random(Order):
    """A uniformly random permutation a sample. `steps` 0: one site a step; else about so many steps, small ones first."""

    steps: int = 0

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """(1,) * N, or `cosine_sizes`. Raises UsageError for more steps than sites."""
        if not 0 <= self.steps <= layout.sites:
            raise UsageError(f"steps must be 0 (one site each) to {layout.sites}, got {self.steps}")
        return cosine_sizes(layout.sites, self.steps) if self.steps else (1,) * layout.sites

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """One permutation a sample, from its own stream."""
        return Plan(noise.permutation(layout.sites), self.sizes(layout))

    def trained(self, progress: float = 1.0) -> Random:
        """One site a step."""
        return Random()

    def given_first(self, plan: Plan, given: Tensor) -> Plan:
        """What is given, then the rest, each part in its random order."""
        return plan.starting_with(given)


def cosine_sizes(sites: int, steps: int) -> tuple[int, ...]:
    """One site, then after step s of K (counted from 0) floor(N (1 - cos(pi/2 (s + 1) / K)) + 1) in all, at least one more each."""
    done = [0, 1]
    for step in range(1, steps):
        wanted = int((1 - math.cos(math.pi / 2 * (step + 1) / steps)) * sites + 1)
        done.append(min(sites, max(wanted, done[-1] + 1)))
    done.append(sites)
    return tuple(b - a for a, b in zip(done, done[1:], strict=False) if b > a)
