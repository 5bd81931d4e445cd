"""A Llama that is read at several layers, the code read at one added to its stream before the next (DnD-Transformer, arXiv 2410.01912).

    after block l_d:   out_d = norm_d(x),   x <- x + e(k_d)   (not after the last)

So the codes of a token are autoregressive along the model's depth, in one pass. Layers below l_d of later slots know all of k_1 .. k_d
through what they attend to. Legend: B batch, L slots, D width, Q readouts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import UsageError
from ..layout import Layout
from ..mixers import Cache, Context
from ..nn.norm import RMSNorm
from ..slots import Slots
from .base import Backbone, BackboneModule
from .llama import Llama


class ReadoutsModule(BackboneModule):
    """The blocks of a Llama and a norm a readout."""

    def __init__(self, spec: Readouts, layout: Layout) -> None:
        super().__init__()
        base = spec.base.build(layout)
        self.reads, self.dropout = spec.reads, spec.base.dropout
        self.rotary, self.blocks = base.rotary, base.blocks
        self.norms = nn.ModuleList(RMSNorm(spec.width, spec.base.eps) for _ in spec.reads)

    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Readouts (B, L, Q D), one after the other, each normalised."""
        x = F.dropout(slots.x, self.dropout, self.training)
        context = Context(self.rotary(slots.site) if self.rotary else None, slots.mask, slots.keep)
        states = cache.states if cache else [None] * len(self.blocks)
        found: list[Tensor] = []
        for layer, (block, state) in enumerate(zip(self.blocks, states, strict=True)):
            if self.checkpointing and self.training:
                x = checkpoint(block, x, context, state, use_reentrant=False)
            else:
                x = block(x, context, state)
            if layer == self.reads[len(found)]:
                found.append(self.norms[len(found)](x))
                if slots.inject is not None and len(found) < len(self.reads):
                    x = x + slots.inject(len(found) - 1, found[-1])
        return torch.cat(found, -1)


@dataclass(frozen=True)
class Readouts(Backbone):
    """`base`, read after the layers `reads` (from 0, rising; the last is the last layer), one for each code of a token."""

    base: Llama
    reads: tuple[int, ...]

    def __post_init__(self) -> None:
        rising = list(self.reads) == sorted(set(self.reads))
        if not self.reads or not rising or self.reads[0] < 0 or self.reads[-1] != self.base.depth - 1:
            raise UsageError(f"reads={self.reads} must rise from 0 or more to the last of {self.base.depth} layers")

    @property
    def width(self) -> int:
        """D."""
        return self.base.width

    @property
    def readouts(self) -> int:
        """Q."""
        return len(self.reads)

    def build(self, layout: Layout) -> ReadoutsModule:
        """The module for tokens on `layout`."""
        return ReadoutsModule(self, layout)
