"""Position instructions: before each token a slot that says where it goes and predicts it (RandAR, arXiv 2412.01827).

The sequence is [condition, P_0, x_0, P_1, x_1, ...], causal; P_k sits at the site of rank k and predicts it, x_k holds it. Several
sites a step are asked by several P at once, which see those before them in the step, but no token of the step. Afterwards
all but the first are computed again between their tokens, so the cache is that of one token a step.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Discrete, Layout, Unit
from ..nn.rotary import Rotary, rotate
from ..orders.base import Plan
from ..slots import BLANK, FOREVER, NONE, PREFIX, SlotTable
from .base import Call, Wiring, WiringModule


class InstructionsModule(WiringModule):
    """A table of tokens, and one vector that the target's rotary position turns, head by head, into its instruction."""

    def __init__(self, spec: Instructions, dim: int, vocab: int, layout: Layout) -> None:
        super().__init__()
        self.heads = spec.heads
        self.embed = nn.Embedding(vocab, dim)
        self.ask = nn.Parameter(torch.empty(1, dim).normal_(std=spec.std))
        self.rotary = Rotary(layout, dim // spec.heads, spec.rotary_base)
        nn.init.normal_(self.embed.weight, std=spec.std)

    def table(self) -> Tensor:
        """The embedding table (V, D)."""
        return self.embed.weight

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots, tokens and instructions, in the order of the table."""
        instructions = self.instructions(plan.perm[..., call.blank]).expand(len(tokens), -1, -1)
        return call.arrange(prefix, self.embed(plan.to_ranks(tokens, call.held)), instructions)

    def instructions(self, sites: Tensor) -> Tensor:
        """P for sites (n,) or (B, n), (1 or B, n, D)."""
        vectors = self.ask.view(1, self.heads, 1, -1).expand(-1, -1, sites.shape[-1], -1)
        return rotate(vectors, self.rotary(sites)).transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class Instructions(Wiring):
    """`heads` and `rotary_base` are those of the backbone, whose positions turn the shared vector; `std` of initial tables."""

    heads: int
    rotary_base: float = 10000.0
    std: float = 0.02

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The slots of all steps, those that are asked twice included."""
        first, *others = _tables(sizes, prefix)
        return first.join(*others)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The tokens of the last step, with its instructions between them, and the instructions of this one."""
        return _tables(sizes, prefix)[index]

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> InstructionsModule:
        """The tables."""
        if not isinstance(unit, Discrete) or unit.codes != 1:
            raise UsageError(f"wiring Instructions embeds one id a site, but this tokenizer gives {unit}")
        return InstructionsModule(self, dim, unit.vocab, layout)


@functools.lru_cache(maxsize=32)
def _tables(sizes: tuple[int, ...], prefix: int) -> tuple[SlotTable, ...]:
    """The slots of every step. Time runs by slots of the plain sequence, each long enough for the queries of a step."""
    moment = sum(sizes) + 1
    tables: list[SlotTable] = []
    start, before = 0, 0
    for size in sizes:
        rows = [_condition(place, prefix) for place in range(prefix)] if not tables else _again(before, start, moment)
        rows.append((BLANK, start, start, 2 * start * moment, FOREVER))
        now = 2 * start * moment
        rows += [(BLANK, start + j, start + j, now + j, now + moment - 1) for j in range(1, size)]
        holds, at, predicts, time, until = zip(*rows, strict=True)
        tables.append(SlotTable.of(holds, at, predicts, avail=time, sees=time, until=until))
        before, start = start, start + size
    return tuple(tables)


def _condition(place: int, prefix: int) -> tuple[int, ...]:
    return PREFIX, NONE, NONE, place - prefix, FOREVER


def _again(start: int, stop: int, moment: int) -> list[tuple[int, ...]]:
    """The first token of a step, then the others with their instructions before them."""
    rows: list[tuple[int, ...]] = []
    for rank in range(start, stop):
        asked = (BLANK, rank, NONE, 2 * rank * moment, FOREVER)
        rows += [asked] if rank > start else []
        rows.append((rank, rank, NONE, (2 * rank + 1) * moment, FOREVER))
    return rows
