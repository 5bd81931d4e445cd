"""Multi-head attention with one fused projection, rotary positions, grouped queries, and a preallocated cache.

Legend: B batch, L slots of this call, T slots seen, H query heads, G key-value heads, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..nn.attend import attend
from ..nn.rotary import rotate
from .base import Context, Mixer, MixerModule
from .keeping import EXACT, Keeping, KeyValues, State


class AttentionModule(MixerModule):
    """Queries, keys and values from one matrix; no biases."""

    def __init__(self, dim: int, heads: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.groups, self.head_dim, self.dropout = heads, groups, dim // heads, dropout
        self.qkv = nn.Linear(dim, (heads + 2 * groups) * self.head_dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, context: Context, state: State | None = None) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        heads = self.qkv(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H + 2G, L, d)
        turned = self.heads + self.groups
        qk, v = heads[:, :turned], heads[:, turned:]
        if context.rotary is not None:
            qk = rotate(qk, context.rotary)
        q, k = qk[:, : self.heads], qk[:, self.heads :]
        mask = context.mask
        if state is not None:
            assert isinstance(state, KeyValues)
            k, v, mask = state.extend(k, v, context.keep, mask)
        mixed = attend(q, k, v, mask)
        return F.dropout(self.out(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def state(self, batch: int, slots: int, like: Tensor, keeping: Keeping = EXACT) -> KeyValues:
        """Room for `slots` keys and values."""
        return keeping.build((batch, self.groups, slots, self.head_dim), like)


@dataclass(frozen=True)
class Attention(Mixer):
    """`heads` query heads; `groups` key-value heads (0: as many), each shared by heads / groups query heads (GQA)."""

    heads: int
    groups: int = 0

    def build(self, dim: int, dropout: float) -> AttentionModule:
        """The module for width `dim`, which `heads` must divide."""
        groups = self.groups or self.heads
        if dim % self.heads or self.heads % groups:
            raise UsageError(f"{self}: heads must divide dim={dim}, and groups must divide heads")
        return AttentionModule(dim, self.heads, groups, dropout)

    def rotary_dim(self, dim: int) -> int:
        """The width of one head."""
        return dim // self.heads
