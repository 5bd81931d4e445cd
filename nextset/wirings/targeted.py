"""Target-aware shift: every slot also says which site it predicts, so that one model can go in any order (RAR, arXiv 2411.00776).

The sequence is [start, condition, x_0, x_1, ...], causal; the slot before x_k predicts rank k. A slot's contents are its token, the
position of its own site, and of another table the position of the site that it predicts. In a fixed order the second position
follows from the first and adds nothing but weights.

Legend: B batch, P condition slots, L slots of a call, N sites, D width.
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

FIRST = 2  # rows of the table of positions before those of sites: the start slot's, and that of every condition slot


class TargetedModule(WiringModule):
    """A table of tokens, the start slot, and two tables of positions: of where a slot is, and of where it looks."""

    def __init__(self, dim: int, vocab: int, sites: int, std: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.start = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(torch.empty(1, FIRST + sites, dim))
        self.targets = nn.Parameter(torch.empty(1, sites, dim))
        for table in (self.embed.weight, self.positions, self.targets):
            nn.init.trunc_normal_(table, std=std, a=-2 * std, b=2 * std)

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """The start slot, condition slots and tokens at their positions, all with the positions of their targets."""
        held = self.embed(plan.to_ranks(tokens, call.held)) + self.positions[0, FIRST + plan.perm[..., call.held]]
        condition = prefix[:, : call.prefixed] + self.positions[:, 1:FIRST]
        start = (self.start + self.positions[:, :1])[:, : int((call.table.holds == BLANK).sum())]
        contents = call.arrange(condition, held, start.expand(len(prefix), -1, -1))
        return contents + self._toward(call.targets(plan))

    def _toward(self, targets: Tensor) -> Tensor:
        """(L, D) or (B, L, D): nothing for a slot that predicts nothing."""
        return self.targets[0, targets.clamp(min=0)] * (targets >= 0)[..., None]


@dataclass(frozen=True)
class Targeted(Wiring):
    """One token a step, plain causal mask, any order. `std` is that of the initial tables."""

    std: float = 0.02

    @property
    def lead(self) -> int:
        """The start slot."""
        return 1

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The start slot, condition slots, then every token but the last."""
        if set(sizes) != {1}:
            raise UsageError(f"wiring Targeted predicts one site a step, but the order takes {max(sizes)} at once")
        return _table(len(sizes), prefix)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The start and condition slots at first, then the slot of the token just drawn."""
        table = _table(len(sizes), prefix)
        return table.take(slice(0, prefix + 1) if index == 0 else slice(prefix + index, prefix + index + 1))

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> TargetedModule:
        """The tables."""
        if not isinstance(unit, Discrete) or unit.codes != 1:
            raise UsageError(f"wiring Targeted embeds one id a site, but this tokenizer gives {unit}")
        return TargetedModule(dim, unit.vocab, layout.sites, self.std)


@functools.lru_cache(maxsize=32)
def _table(steps: int, prefix: int) -> SlotTable:
    step = np.arange(-prefix, steps)
    token, holds = step > 0, np.where(step > 0, step - 1, PREFIX)
    holds[0] = BLANK
    predicts = np.where(step >= 0, step, NONE)
    return SlotTable.of(holds, np.where(token, step - 1, NONE), predicts, avail=step, sees=step)
