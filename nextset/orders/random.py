"""Random order: each sample's sites in an order of its own, one a step, or several (RandAR, arXiv 2412.01827; ARPG, 2503.10568)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan
from .schedules import Rising, Schedule


@dataclass(frozen=True)
class Random(Order):
    """A uniformly random permutation a sample. `steps` 0: one site a step; else about so many, cut by `schedule`."""

    steps: int = 0
    schedule: Schedule = Rising()

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """(1,) * N, or those of the schedule. Raises UsageError for more steps than sites."""
        if not 0 <= self.steps <= layout.sites:
            raise UsageError(f"steps must be 0 (one site each) to {layout.sites}, got {self.steps}")
        return self.schedule.sizes(layout.sites, self.steps) if self.steps else (1,) * layout.sites

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """One permutation a sample, from its own stream."""
        return Plan(noise.permutation(layout.sites), self.sizes(layout))

    def trained(self, progress: float = 1.0) -> Random:
        """One site a step."""
        return Random()

    def given_first(self, plan: Plan, given: Tensor) -> Plan:
        """What is given, then the rest, each part in its random order."""
        late = plan.to_ranks(~given).to(torch.int8)
        return Plan(plan.perm.gather(1, late.argsort(dim=1, stable=True)), plan.sizes)
