"""Multi-head attention of the ViT and DiT family: biases, and queries and keys normalised a head where asked for.

Legend: B batch, L slots of this call, T slots seen, H heads, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..nn.attend import attend
from ..nn.norm import Norm
from ..nn.rotary import rotate
from .base import Context, Mixer, MixerModule
from .keeping import EXACT, Keeping, KeyValues, State


class BiasedAttentionModule(MixerModule):
    """Queries, keys and values from one matrix."""

    def __init__(self, spec: BiasedAttention, dim: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_dim, self.dropout = spec.heads, dim // spec.heads, dropout
        self.weights = dropout if spec.weights is None else spec.weights
        self.qkv, self.out = nn.Linear(dim, 3 * dim, bias=spec.inner), nn.Linear(dim, dim)
        self.q_norm, self.k_norm = (spec.norm.build(self.head_dim) if spec.norm else nn.Identity() for _ in "qk")

    def forward(self, x: Tensor, context: Context, state: State | None = None) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, self.head_dim)).permute(2, 0, 3, 1, 4)  # each (B, H, L, d)
        q, k = self.q_norm(q), self.k_norm(k)
        if context.rotary is not None:
            q, k = rotate(q, context.rotary), rotate(k, context.rotary)
        mask = context.mask
        if state is not None:
            assert isinstance(state, KeyValues)
            k, v, mask = state.extend(k, v, context.keep, mask)
        mixed = attend(q, k, v, mask, self.weights if self.training else 0.0)
        return F.dropout(self.out(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def state(self, batch: int, slots: int, like: Tensor, keeping: Keeping = EXACT) -> KeyValues:
        """Room for `slots` keys and values."""
        return keeping.build((batch, self.heads, slots, self.head_dim), like)


@dataclass(frozen=True)
class BiasedAttention(Mixer):
    """`heads` heads; `norm`, where given, normalises every query and key. Dropout also acts on attention weights.

    Without `inner` only the output map has a bias (U-ViT). `weights` is the dropout of attention weights, where it differs.
    """

    heads: int
    norm: Norm | None = None
    inner: bool = True
    weights: float | None = None

    def build(self, dim: int, dropout: float) -> BiasedAttentionModule:
        """The module for width `dim`, which `heads` must divide."""
        if dim % self.heads:
            raise UsageError(f"{self}: heads must divide dim={dim}")
        return BiasedAttentionModule(self, dim, dropout)

    def rotary_dim(self, dim: int) -> int:
        """The width of one head."""
        return dim // self.heads
