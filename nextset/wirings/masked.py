"""Mask tokens re-encoded: every step the whole picture, unknown sites under one mask vector, all seeing all (MaskGIT, arXiv 2202.04200).

The network predicts a site in its own slot, and nothing is kept from step to step. So a likelihood takes one pass a step, and training
takes one pass in which each sample knows some sites of its own (`Network.revealed`). ARDM, MD4 and MAR are wired like this too.

Legend: B batch, N sites, P condition slots, D width.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..heads import Noisy
from ..layout import Codec, Continuous, Layout, Unit
from ..orders.base import Plan
from ..slots import BLANK, NEVER, NONE, PREFIX, SlotTable
from .base import Call, Wiring, WiringModule


class MaskedModule(WiringModule):
    """A table of tokens (of several codes the sum of one table each), or a linear map of latents, and the mask vector."""

    def __init__(self, dim: int, unit: Unit, std: float) -> None:
        super().__init__()
        self.unit = unit
        self.embed = (
            nn.Linear(unit.dim, dim) if isinstance(unit, Continuous) else nn.Embedding(unit.vocab * unit.codes, dim)
        )
        self.mask = nn.Parameter(torch.empty(dim).normal_(std=std))
        nn.init.normal_(self.embed.weight, std=std)

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots, known tokens, and the mask everywhere else."""
        unknown = self.mask.expand(len(prefix), int((call.table.holds == BLANK).sum()), -1)
        return call.arrange(prefix, self.embedded(plan.to_ranks(tokens, call.held)), unknown)

    def reveal(self, prefix: Tensor, tokens: Tensor, known: Tensor) -> Tensor:
        """Contents (B, P + N, D) by site where each sample knows its own sites, (B, N) bool."""
        contents = torch.where(known[..., None], self.embedded(tokens), self.mask)
        return torch.cat([prefix, contents], dim=1)

    def embedded(self, tokens: Tensor) -> Tensor:
        """Vectors (B, n, D) of tokens (B, n, ...)."""
        if isinstance(self.unit, Continuous):
            return self.embed(tokens.to(self.embed.weight.dtype))
        if tokens.ndim == 2:
            return self.embed(tokens)
        return self.embed(tokens + self.unit.vocab * torch.arange(self.unit.codes, device=tokens.device)).sum(2)


@dataclass(frozen=True)
class Masked(Wiring):
    """Steps of any sizes. `std` is that of the initial embedding and mask."""

    std: float = 0.02

    @property
    def afresh(self) -> bool:
        """Nothing is kept."""
        return True

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The slots of all steps, each a group of its own; computed step by step (`Network.hidden`)."""
        first, *others = (_table(index, sizes, prefix) for index in range(len(sizes)))
        return first.join(*others)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Condition slots, everything known, everything unknown; those of the step predict themselves."""
        return _table(index, sizes, prefix)

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> MaskedModule:
        """The table or map, and the mask."""
        return MaskedModule(dim, unit, self.std)


@functools.lru_cache(maxsize=1024)
def _table(index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
    start, end, sites = sum(sizes[:index]), sum(sizes[: index + 1]), sum(sizes)
    ranks = list(range(sites))
    return SlotTable.of(
        holds=[PREFIX] * prefix + [rank if rank < start else BLANK for rank in ranks],
        at=[NONE] * prefix + ranks,
        predicts=[NONE] * prefix + [rank if start <= rank < end else NONE for rank in ranks],
        avail=[NEVER] * (prefix + sites),
        sees=[index] * (prefix + sites),
        group=index,
    )
