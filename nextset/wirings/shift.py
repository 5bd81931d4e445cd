"""Shift wiring: the GPT way. The last condition slot predicts the first token, each token's slot predicts the next one.

A slot sits at the site of the token it holds, not of the one it predicts (LlamaGen's convention).
"""

from __future__ import annotations

import functools
from abc import ABC
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Continuous, Layout, Unit
from ..orders.base import Plan
from ..slots import NONE, PREFIX, SlotTable
from .base import Call, Wiring, WiringModule


class ShiftModule(WiringModule):
    """One embedding table; tokens of several codes are the sum of one table each, several tokens of one code the mean."""

    def __init__(self, dim: int, unit: Unit, std: float) -> None:
        super().__init__()
        if isinstance(unit, Continuous):
            raise UsageError("wiring Shift embeds ids; this tokenizer gives latents")
        self.vocab, self.pools = unit.vocab, unit.codes == 1
        self.embed = nn.Embedding(unit.vocab * unit.codes, dim)
        nn.init.normal_(self.embed.weight, std=std)

    def table(self) -> Tensor:
        """The embedding table (V, D)."""
        if self.embed.num_embeddings != self.vocab:
            return super().table()  # of several codes a site each has its own
        return self.embed.weight

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots as they come, then the embedded tokens."""
        return call.arrange(prefix, self._embed(plan.to_ranks(tokens, call.held)))

    def _embed(self, ids: Tensor) -> Tensor:
        if ids.ndim == 2:
            return self.embed(ids)
        if self.pools:
            return self.embed(ids).mean(2)
        return self.embed(ids + self.vocab * torch.arange(ids.shape[-1], device=ids.device)).sum(2)


class OneByOne(Wiring, ABC):
    """One token a step, plain causal mask."""

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Condition slots, then every token but the last."""
        if set(sizes) != {1}:
            raise UsageError(
                f"wiring {type(self).__name__} predicts one site a step, but the order takes {max(sizes)} at once"
            )
        if prefix < 1:
            raise UsageError(
                f"wiring {type(self).__name__} predicts the first site from a condition slot, but the condition has none"
            )
        return _table(len(sizes), prefix)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The condition slots at first, then the slot of the token just drawn."""
        table = _table(len(sizes), prefix)
        return table.take(slice(0, prefix) if index == 0 else slice(prefix + index - 1, prefix + index))


@dataclass(frozen=True)
class Shift(OneByOne):
    """`std` is that of the initial embedding."""

    std: float = 0.02

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> ShiftModule:
        """The embedding table."""
        return ShiftModule(dim, unit, self.std)


@functools.lru_cache(maxsize=32)
def _table(steps: int, prefix: int) -> SlotTable:
    step = np.arange(1 - prefix, steps)
    holds = np.where(step > 0, step - 1, PREFIX)
    return SlotTable.of(holds, holds, np.where(step >= 0, step, NONE), avail=step, sees=step)
