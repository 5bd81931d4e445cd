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
from .base import Context, Mixer, MixerModule, State


class KeyValues(State):
    """Keys and values (B, G, slots, d); each call overwrites what the last one did not keep."""

    def __init__(self, k: Tensor, v: Tensor, kept: int = 0) -> None:
        self.k, self.v, self.kept = k, v, kept

    def extend(self, k: Tensor, v: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        """Everything seen: the kept past and these (B, G, L, d), of which the first `keep` stay."""
        end = self.kept + k.shape[2]
        self.k[:, :, self.kept : end] = k
        self.v[:, :, self.kept : end] = v
        self.kept += keep
        return self.k[:, :, :end], self.v[:, :, :end]

    def narrow(self, batch: int) -> KeyValues:
        """The first `batch` samples, sharing memory."""
        return KeyValues(self.k[:batch], self.v[:batch], self.kept)


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
        if state is not None:
            assert isinstance(state, KeyValues)
            k, v = state.extend(k, v, context.keep)
        mixed = attend(q, k, v, context.mask)
        return F.dropout(self.out(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def state(self, batch: int, slots: int, like: Tensor) -> KeyValues:
        """Zeros for `slots` keys and values."""
        shape = (batch, self.groups, slots, self.head_dim)
        return KeyValues(like.new_zeros(shape), like.new_zeros(shape))


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
