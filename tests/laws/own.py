"""Parts that a user might write: sets of sites in a random order, and a wiring that predicts a whole set in one step.

With them the laws cover what plans, masks and caches do beyond one token a step, whichever systems the catalogue has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nextset.errors import UsageError
from nextset.heads import Noisy
from nextset.layout import Codec, Discrete, Layout, Unit
from nextset.noise import Noise
from nextset.orders import Order, Plan
from nextset.slots import BLANK, NEVER, NONE, PREFIX, SlotTable
from nextset.wirings import Call, Wiring, WiringModule


@dataclass(frozen=True)
class Growing(Order):
    """A random order for each sample, in steps of 1, 2, 3, ... sites."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """As many sites as are left, in the last step."""
        sizes: list[int] = []
        while sum(sizes) < layout.sites:
            sizes.append(min(len(sizes) + 1, layout.sites - sum(sizes)))
        return tuple(sizes)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """Permutations (B, N)."""
        return Plan(noise.permutation(layout.sites), self.sizes(layout))


class QueriesModule(WiringModule):
    """A table of tokens and one vector for every query."""

    def __init__(self, dim: int, vocab: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.ask = nn.Parameter(torch.randn(dim) * 0.02)

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots, embedded tokens, queries."""
        queries = self.ask.expand(len(tokens), int((call.table.holds == BLANK).sum()), -1)
        return call.arrange(prefix, self.embed(plan.to_ranks(tokens, call.held)), queries)


@dataclass(frozen=True)
class Queries(Wiring):
    """Tokens are a memory that knows its own step and earlier ones; queries at the sites of a step read it, unseen by all."""

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Condition slots, the memory of all steps but the last, every query."""
        step = np.repeat(np.arange(len(sizes)), sizes)
        known = np.arange(sum(sizes[:-1]))
        ranks, start = np.arange(sum(sizes)), np.zeros(prefix, dtype=np.int64)
        return SlotTable.of(
            np.concatenate([start + PREFIX, known, ranks * 0 + BLANK]),
            np.concatenate([start + NONE, known, ranks]),
            np.concatenate([start + NONE, known * 0 + NONE, ranks]),
            avail=np.concatenate([start, step[known] + 1, ranks * 0 + NEVER]),
            sees=np.concatenate([start, step[known] + 1, step]),
        )

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """What the last step has drawn (the condition slots at first), then this step's queries."""
        table = self.whole(sizes, prefix)
        queries = (table.holds == BLANK) & (table.sees == index)
        return table.take(np.flatnonzero(queries | ((table.avail == index) & (table.holds != BLANK))))

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> QueriesModule:
        """The tables."""
        if not isinstance(unit, Discrete) or unit.codes != 1:
            raise UsageError(f"wiring Queries needs one id a site, but this tokenizer gives {unit}")
        return QueriesModule(dim, unit.vocab)
