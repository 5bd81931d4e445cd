"""Position queries over a memory of what is known (ARPG, arXiv 2503.10568).

The memory is [condition, x_0, x_1, ...]; each x sits at its own site. What a step draws is asked by queries, one shared vector at
the sites in question, which read the memory of all earlier steps and are seen by nobody: so a query's answer does not depend on
what else is asked, and any number of sites can be asked at once.

Within the memory, tokens that were drawn in one step either keep to the order (`Causal`) or see each other (`Mutual`). With one site a
step, as in training, both are the same.

Legend: B batch, N sites, P condition slots, D width.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Discrete, Layout, Unit
from ..orders.base import Plan
from ..slots import BLANK, NEVER, NONE, PREFIX, SlotTable
from ..spec import Spec
from .base import Call, Wiring, WiringModule


class QueriesModule(WiringModule):
    """A table of tokens and the vector of every query."""

    def __init__(self, dim: int, vocab: int, std: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.ask = nn.Parameter(torch.empty(1, dim).normal_(std=std))
        nn.init.normal_(self.embed.weight, std=std)

    def table(self) -> Tensor:
        """The embedding table (V, D)."""
        return self.embed.weight

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots, embedded tokens, queries."""
        queries = self.ask.expand(len(tokens), int((call.table.holds == BLANK).sum()), -1)
        return call.arrange(prefix, self.embed(plan.to_ranks(tokens, call.held)), queries)


@dataclass(frozen=True)
class Memory(Spec, ABC):
    """Who sees whom among the tokens of one step."""

    @abstractmethod
    def times(self, sizes: tuple[int, ...]) -> np.ndarray:
        """For each rank the number of ranks up to which its slot sees, and from which on it is seen, (N,)."""


@dataclass(frozen=True)
class Causal(Memory):
    """A token sees those before it in the order: what is computed for it does not depend on the sizes of steps."""

    def times(self, sizes: tuple[int, ...]) -> np.ndarray:
        """1, 2, 3, ..."""
        return np.arange(sum(sizes)) + 1


@dataclass(frozen=True)
class Mutual(Memory):
    """Tokens of one step see each other too, as ARPG's released sampler has it."""

    def times(self, sizes: tuple[int, ...]) -> np.ndarray:
        """The end of the rank's own step."""
        return np.repeat(np.cumsum(sizes), sizes)


@dataclass(frozen=True)
class Queries(Wiring):
    """Steps of any sizes. `std` is that of the initial tables."""

    memory: Memory = Causal()
    std: float = 0.02

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Condition slots, the memory of all steps but the last, every query."""
        if prefix < 1:
            raise UsageError("wiring Queries asks for the first sites of condition slots, but the condition has none")
        return _table(self.memory, sizes, prefix)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """What the last step has drawn (the condition slots at first), then this step's queries."""
        table, start, end = self.whole(sizes, prefix), sum(sizes[:index]), sum(sizes[: index + 1])
        before = start - sizes[index - 1] if index else -1
        known = (table.holds >= before) & (table.holds < start) if index else table.holds == PREFIX
        return table.take(np.flatnonzero(known | ((table.predicts >= start) & (table.predicts < end))))

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> QueriesModule:
        """The tables."""
        if not isinstance(unit, Discrete) or unit.codes != 1:
            raise UsageError(f"wiring Queries embeds one id a site, but this tokenizer gives {unit}")
        return QueriesModule(dim, unit.vocab, self.std)


@functools.lru_cache(maxsize=32)
def _table(memory: Memory, sizes: tuple[int, ...], prefix: int) -> SlotTable:
    """Time counts the ranks that are known; condition slots are causal, before all of them."""
    ranks, known = np.arange(sum(sizes)), np.arange(sum(sizes[:-1]))
    first, none = np.arange(1 - prefix, 1), np.full
    starts = np.repeat(np.cumsum((0, *sizes[:-1])), sizes)
    time = memory.times(sizes)[known]
    return SlotTable.of(
        np.concatenate([none(prefix, PREFIX), known, none(len(ranks), BLANK)]),
        np.concatenate([none(prefix, NONE), known, ranks]),
        np.concatenate([none(prefix + len(known), NONE), ranks]),
        avail=np.concatenate([first, time, none(len(ranks), NEVER)]),
        sees=np.concatenate([first, time, starts]),
    )
