"""A noisy block beside the clean past: what a step denoises sees the clean tokens of earlier steps (ACDiT, arXiv 2412.07720; xAR, 2502.20388).

The sequence is [condition, clean tokens of all steps but the last, noisy tokens of all steps]. Clean tokens see their own step and
earlier ones; the noisy tokens of a step, which predict themselves, see each other and the clean tokens of earlier steps, and nobody
else sees them (ACDiT's skip-causal mask). Decoding keeps the clean tokens of a step when the next one begins; asked again, a step
computes its noisy tokens alone. Both kinds go through one linear map.

The noise level of a step is embedded and added to the vector of AdaLN; clean tokens have level 0, or are not modulated at all.
Trained on noisy context (`noised`) there are no clean tokens: every step sees the earlier ones as noisy as they are.

Legend: B batch, C channels of a token, D width, G blocks of noisy slots in a call, n of its noisy slots.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Continuous, Layout, Unit
from ..nn.timestep import TimestepEmbedding
from ..orders.base import Plan
from ..slots import BLANK, NEVER, NONE, PREFIX, SlotTable, Vectors
from .base import Call, Wiring, WiringModule


class BesideModule(WiringModule):
    """The map of tokens and the embedding of levels."""

    def __init__(self, spec: Beside, dim: int, channels: int) -> None:
        super().__init__()
        self.modulated = spec.modulated
        self.embed = nn.Linear(channels, dim, bias=spec.bias)
        self.level = TimestepEmbedding(dim, spec.std)
        nn.init.xavier_uniform_(self.embed.weight)
        if spec.bias:
            nn.init.zeros_(self.embed.bias)

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots, clean tokens, noisy tokens (B, n, C)."""
        return call.arrange(
            prefix, self._embedded(plan.to_ranks(tokens, call.held)), self._embedded(_given(noisy).values)
        )

    def vectors(
        self, call: Call, vector: Tensor | None, plan: Plan, noisy: Noisy | None = None
    ) -> Tensor | Vectors | None:
        """The condition's vector and the level's, one for each block of noisy slots, and one of level 0 for clean tokens.

        All slots of a step have one level: that of the first is read.
        """
        assert vector is not None, "Network checks that there is a vector"
        levels = _given(noisy).level[:, call.blocks.first]
        if call.blocks.only:
            return vector + self.level(levels[:, 0])
        if not self.modulated:
            return Vectors(vector[:, None] + self.level(levels), call.blocks.of, some=True)
        levels = torch.cat([levels, torch.zeros_like(levels[:, :1])], dim=1)
        return Vectors(vector[:, None] + self.level(levels), call.blocks.clean)

    def _embedded(self, values: Tensor) -> Tensor:
        found: Tensor = self.embed(values.to(self.embed.weight.dtype))
        return found


def _given(noisy: Noisy | None) -> Noisy:
    if noisy is None:
        raise UsageError(
            "wiring Beside predicts tokens from noisy ones, so there is no likelihood and no plain objective; train with CleanContext()"
            " or NoisyContext() and draw with a head that denoises, such as Flow()"
        )
    return noisy


@dataclass(frozen=True)
class Beside(Wiring):
    """Steps of any sizes, tokens that are vectors.

    `modulated`: clean tokens take the vector of level 0 (xAR), else none (ACDiT). `bias` of the map of tokens; `std` of the initial
    embedding of levels.
    """

    modulated: bool = True
    bias: bool = True
    std: float = 0.02

    @property
    def modulates(self) -> bool:
        """Slots are told their noise levels."""
        return True

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Condition slots, clean tokens, noisy tokens."""
        return _table(sizes, prefix)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The clean tokens of the last step (the condition slots at first), then the noisy ones of this."""
        table = _table(sizes, prefix)
        noisy = table.holds == BLANK
        return table.take(np.flatnonzero(np.where(noisy, table.sees, table.avail) == index))

    def noised(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Condition slots and noisy tokens, each step seeing itself and the earlier ones."""
        step = np.repeat(np.arange(len(sizes)), sizes)
        ranks, start = np.arange(sum(sizes)), np.zeros(prefix, dtype=np.int64)
        time = np.concatenate([start, step])
        return SlotTable.of(
            holds=np.concatenate([start + PREFIX, ranks * 0 + BLANK]),
            at=np.concatenate([start + NONE, ranks]),
            predicts=np.concatenate([start + NONE, ranks]),
            avail=time,
            sees=time,
            group=np.concatenate([start + NONE, step]),
        )

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> BesideModule:
        """The map and the embedding of levels."""
        if not isinstance(unit, Continuous):
            raise UsageError(f"wiring Beside adds noise to vectors, but this tokenizer gives {unit}")
        return BesideModule(self, dim, unit.dim)


@functools.lru_cache(maxsize=32)
def _table(sizes: tuple[int, ...], prefix: int) -> SlotTable:
    step = np.repeat(np.arange(len(sizes)), sizes)
    known, ranks, start = np.arange(sum(sizes[:-1])), np.arange(sum(sizes)), np.zeros(prefix, dtype=np.int64)
    return SlotTable.of(
        holds=np.concatenate([start + PREFIX, known, ranks * 0 + BLANK]),
        at=np.concatenate([start + NONE, known, ranks]),
        predicts=np.concatenate([start + NONE, known * 0 + NONE, ranks]),
        avail=np.concatenate([start, step[known] + 1, ranks * 0 + NEVER]),
        sees=np.concatenate([start, step[known] + 1, step]),
        group=np.concatenate([start + NONE, known * 0 + NONE, step]),
    )
