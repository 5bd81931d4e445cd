"""Groups: a token's slot predicts the token of its place in the next group, all of a group at once (PAR, arXiv 2412.15119).

Sites that come one by one are wired as in Shift. Before the first group of n, n - 1 learned slots without a site stand beside the slot
that is last by then, so that n slots predict n tokens: the sequence is [condition, x_1 .. x_k, m_1 .. m_(n-1), x_(k+1), ...].
Slots of one group see each other and everything before.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Discrete, Layout, Unit
from ..orders.base import Plan
from ..slots import BLANK, NONE, PREFIX, SlotTable
from .base import Call, Wiring, WiringModule


class GroupsModule(WiringModule):
    """A table of tokens, and the slots between single tokens and groups."""

    def __init__(self, spec: Groups, dim: int, vocab: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.between = nn.Parameter(torch.empty(spec.size - 1, dim).normal_(std=spec.std))
        nn.init.normal_(self.embed.weight, std=spec.std)

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots, tokens, and the learned slots in the call that has them."""
        learned = (call.table.holds == BLANK).any()
        between = self.between.expand(len(prefix), -1, -1) if learned else None
        return call.arrange(prefix, self.embed(plan.to_ranks(tokens, call.held)), between)


@dataclass(frozen=True)
class Groups(Wiring):
    """Any number of single sites, then groups of `size`. `std` is that of initial tables."""

    size: int
    std: float = 0.02

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Condition slots, every token but those of the last step, and the learned slots before the first group."""
        return _table(self.size, sizes, prefix)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The condition slots at first, then the tokens just drawn; with the learned slots where a group comes first."""
        table = _table(self.size, sizes, prefix)
        return table.take(np.flatnonzero(table.sees <= 0 if index == 0 else table.sees == index))

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> GroupsModule:
        """The tables."""
        if not isinstance(unit, Discrete) or unit.codes != 1:
            raise UsageError(f"wiring Groups embeds one id a site, but this tokenizer gives {unit}")
        return GroupsModule(self, dim, unit.vocab)


@functools.lru_cache(maxsize=32)
def _table(size: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
    """The slots in order of time, which runs by steps; those of one step see each other."""
    single = sizes.count(1)
    if not sizes[-1] == size > 1 or sizes != (1,) * single + (size,) * (len(sizes) - single):
        raise UsageError(
            f"wiring Groups takes single sites, then size={size} (at least 2) at once, but the order takes {sizes}"
        )
    if prefix < 1:
        raise UsageError("wiring Groups predicts the first site from a condition slot, but the condition has none")
    rows = [(PREFIX, NONE, place - prefix + 1) for place in range(prefix)]
    starts = np.cumsum((0, *sizes))
    for step, start in enumerate(starts[:-1]):
        rows += [(rank, rank, step) for rank in range(starts[step - 1], start)] if step else []
        rows += [(BLANK, NONE, step)] * (size - 1) if step == single else []
    holds, at, time = (np.array(column) for column in zip(*rows, strict=True))
    predicts = np.where(
        time < 0, NONE, np.arange(len(time)) - prefix + 1
    )  # slots of the steps stand as their targets do
    return SlotTable.of(holds, at, predicts, avail=time, sees=time)
