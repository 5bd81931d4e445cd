"""Masked-share objective: the mean loss of everything unknown, given a random known share (MAR, arXiv 2406.11838; after MAE).

    r ~ normal(mean, deviation) cut to [low, 1];   of N sites ceil(N r) are unknown, all predicted at once

One share a batch, so that a network which computes only known tokens has equal rows; which sites are known differs between samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Tokens
from ..noise import mix
from ..orders import Plan
from .base import Objective, Scorer


@dataclass(frozen=True)
class MaskedShare(Objective):
    """The unknown share lies between `low` and 1, with the density of a normal distribution about `mean`."""

    low: float = 0.7
    mean: float = 1.0
    deviation: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.low <= 1 or self.deviation <= 0:
            raise UsageError(f"{self}: low must be above 0 and at most 1, deviation above 0")

    @property
    def afresh(self) -> bool:
        """Two steps of any sizes, the second of which is all that is computed."""
        return True

    def unknown(self, sites: int, seed: int) -> int:
        """How many of `sites` the batch of `seed` does not know, at least 1."""
        generator = torch.Generator().manual_seed(mix(seed, "share"))
        uniform = torch.rand((), generator=generator, dtype=torch.float64)
        ends = (torch.tensor([self.low, 1.0], dtype=torch.float64) - self.mean) / self.deviation
        below, above = torch.special.ndtr(ends)
        share = self.mean + self.deviation * torch.special.ndtri(below + uniform * (above - below)).item()
        return min(sites, max(1, math.ceil(sites * share)))

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """{"loss": scalar, "unknown": the share}."""
        sites = tokens.layout.sites
        unknown = self.unknown(sites, seed)
        perm = network.plan(seed, len(tokens), tokens.data.device, progress).perm
        plan = Plan(perm, (sites - unknown, unknown) if unknown < sites else (sites,))
        hidden = network.hidden_at(len(plan.sizes) - 1, tokens.data, network.conditioned(condition), plan)
        target = plan.to_ranks(tokens.data, slice(sites - unknown, None))
        share = torch.tensor(unknown / sites, device=hidden.device)
        return {"loss": network.head.loss(hidden, target).mean(), "unknown": share}
