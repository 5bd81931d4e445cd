"""Cosine attention: queries and keys on the unit sphere, and a learned temperature a head (Swin v2, arXiv 2111.09883; as VAR has it).

    softmax(exp(min(s, ln 100)) cos(q, k)) v, with s = ln 4 at first

Keys have no bias. Legend: B batch, L slots of this call, T slots seen, H heads, d head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..nn.attend import attend
from ..nn.precision import at_least_float32
from ..nn.rotary import rotate
from .base import Context, Mixer, MixerModule
from .keeping import EXACT, Keeping, KeyValues, State

FIRST, LARGEST = math.log(4), math.log(100)


class CosineAttentionModule(MixerModule):
    """Queries, keys and values from one matrix."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_dim, self.dropout = heads, dim // heads, dropout
        self.qkv, self.out = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))
        self.scale = nn.Parameter(torch.full((heads,), FIRST))

    def forward(self, x: Tensor, context: Context, state: State | None = None) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        heads = (self.qkv(x) + bias).unflatten(-1, (3, self.heads, self.head_dim))
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, H, L, d)
        sharp = at_least_float32(self.scale).clamp_max(LARGEST).exp()[:, None, None]
        q, k = (F.normalize(at_least_float32(part), dim=-1) for part in (q, k))
        q, k = (q * sharp).to(v.dtype), k.to(v.dtype)
        if context.rotary is not None:
            q, k = rotate(q, context.rotary), rotate(k, context.rotary)
        mask = context.mask
        if state is not None:
            assert isinstance(state, KeyValues)
            k, v, mask = state.extend(k, v, context.keep, mask)
        mixed = attend(q, k, v, mask, self.dropout if self.training else 0.0, scale=1.0)
        return F.dropout(self.out(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def state(self, batch: int, slots: int, like: Tensor, keeping: Keeping = EXACT) -> KeyValues:
        """Room for `slots` keys and values."""
        return keeping.build((batch, self.heads, slots, self.head_dim), like)


@dataclass(frozen=True)
class CosineAttention(Mixer):
    """`heads` heads. Dropout also acts on attention weights."""

    heads: int

    def build(self, dim: int, dropout: float) -> CosineAttentionModule:
        """The module for width `dim`, which `heads` must divide."""
        if dim % self.heads:
            raise UsageError(f"{self}: heads must divide dim={dim}")
        return CosineAttentionModule(dim, self.heads, dropout)

    def rotary_dim(self, dim: int) -> int:
        """The width of one head."""
        return dim // self.heads
