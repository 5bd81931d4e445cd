"""BERT: a bidirectional transformer that normalises after each branch (Devlin et al. 2018, arXiv 1810.04805), as MaskGIT uses it.

    x = norm(x + mixer(x)), then x = norm(x + feedforward(x)); before that x = norm(contents + position + kind)

Legend: B batch, L slots, N sites, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layout import Layout
from ..mixers import BiasedAttention, Cache, Context, Mixer, State
from ..nn.feedforward import MLP, FeedForward
from ..nn.norm import Layer
from ..slots import Slots
from .base import Backbone, BackboneModule


class BertBlock(nn.Module):
    """Two branches, each normalised together with what went around it."""

    def __init__(self, spec: Bert) -> None:
        super().__init__()
        self.mixer, self.mixer_norm = spec.mixer.build(spec.dim, spec.dropout), Layer(eps=spec.eps).build(spec.dim)
        self.feedforward = spec.feedforward.build(spec.dim, spec.dropout)
        self.feedforward_norm = Layer(eps=spec.eps).build(spec.dim)

    def forward(self, x: Tensor, context: Context, state: State | None) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        x = self.mixer_norm(x + self.mixer(x, context, state))
        return self.feedforward_norm(x + self.feedforward(x))


class BertModule(BackboneModule):
    """Embeddings of places and kinds, and blocks."""

    def __init__(self, spec: Bert, layout: Layout) -> None:
        super().__init__()
        self.dropout = spec.dropout
        self.positions = nn.Parameter(torch.empty(layout.sites + 1, spec.dim))  # the first row: no site
        self.kinds = nn.Parameter(torch.empty(2, spec.dim))  # of sentences; every slot is of the first
        self.norm = Layer(eps=spec.eps).build(spec.dim)
        self.blocks = nn.ModuleList(BertBlock(spec) for _ in range(spec.depth))
        for table in (self.positions, self.kinds):
            nn.init.normal_(table, std=spec.std)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=spec.std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Hidden vectors (B, L, D), normalised."""
        x = self.norm(slots.x + self.positions[slots.site + 1] + self.kinds[0])
        x = F.dropout(x, self.dropout, self.training)
        context = Context(None, slots.mask, slots.keep)
        states = cache.states if cache else [None] * len(self.blocks)
        for block, state in zip(self.blocks, states, strict=True):
            if self.checkpointing and self.training:
                x = checkpoint(block, x, context, state, use_reentrant=False)
            else:
                x = block(x, context, state)
        return x


@dataclass(frozen=True)
class Bert(Backbone):
    """`depth` blocks of width `dim`. Positions are learned, with a row for slots without a site; `std` of the initial matrices."""

    dim: int
    depth: int
    mixer: Mixer = BiasedAttention(12)
    feedforward: FeedForward = MLP()
    dropout: float = 0.1
    eps: float = 1e-12
    std: float = 0.02

    @property
    def width(self) -> int:
        """D."""
        return self.dim

    def build(self, layout: Layout) -> BertModule:
        """The module for tokens on `layout`."""
        return BertModule(self, layout)
