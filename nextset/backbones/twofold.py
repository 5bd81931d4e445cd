"""Twofold: a Llama that is read out twice, after its blocks and again after some more (NAR, arXiv 2503.10696).

The first readout is norm(h) of the stream h after the Llama's own blocks, the second norm'(h') after all; both lie side by side in what
it gives (B, L, 2 D). A linear head on that is two heads in one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..mixers import Cache
from ..nn.norm import RMSNorm
from ..slots import Slots
from .base import Backbone, BackboneModule
from .llama import Llama, LlamaModule, through


class TwofoldModule(BackboneModule):
    """All blocks and the norm at their end, and the norm of the first readout."""

    def __init__(self, spec: Twofold, layout: Layout) -> None:
        super().__init__()
        self.own = spec.llama.depth
        self.llama = LlamaModule(replace(spec.llama, depth=self.own + spec.more), layout)
        self.norm = RMSNorm(spec.llama.dim, spec.llama.eps)

    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Hidden vectors (B, L, 2 D): the first readout, then the second."""
        blocks, own = list(self.llama.blocks), self.own
        states = cache.states if cache else [None] * len(blocks)
        recompute = self.checkpointing and self.training
        x, context = self.llama.enter(slots)
        first = through(blocks[:own], x, context, states[:own], recompute)
        second = through(blocks[own:], first, context, states[own:], recompute)
        return torch.cat([self.norm(first), self.llama.norm(second)], dim=-1)


@dataclass(frozen=True)
class Twofold(Backbone):
    """`llama`, and `more` blocks of its kind before the second readout."""

    llama: Llama
    more: int = 1

    def __post_init__(self) -> None:
        if self.more < 1:
            raise UsageError(f"{self}: more must be at least 1")

    @property
    def width(self) -> int:
        """D."""
        return self.llama.width

    @property
    def out(self) -> int:
        """2 D."""
        return 2 * self.llama.width

    def build(self, layout: Layout) -> TwofoldModule:
        """The module for tokens on `layout`."""
        return TwofoldModule(self, layout)
