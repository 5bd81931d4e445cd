"""Cross-attention: slots, or one learned query, read a source of their own beside the sequence, such as the features of a caption.

    read(q) = out(softmax(q k^T / sqrt(d)) v),   k, v = parts of W s,   v with a bias, k without

Legend: B batch, L slots, T vectors of the source, E their width, D width, H heads, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..slots import Source
from ..spec import Spec
from .attend import attend
from .norm import Norm


class Reading(nn.Module):
    """Keys and values of a source, and what is made of what was read."""

    def __init__(self, dim: int, heads: int, inputs: int) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise UsageError(f"cross-attention of {heads} heads needs a width that {heads} divides, got {dim}")
        self.heads = heads
        self.keys_values, self.out = nn.Linear(inputs, 2 * dim, bias=False), nn.Linear(dim, dim)
        self.v_bias = nn.Parameter(torch.zeros(dim))

    def read(self, q: Tensor, source: Source, dropout: float = 0.0) -> Tensor:
        """What queries (B, H, L, d) read of a source (B, T, E), (B, L, D); `dropout` acts on that in training."""
        bias = torch.cat([torch.zeros_like(self.v_bias), self.v_bias])
        heads = (self.keys_values(source.values) + bias).unflatten(-1, (2, self.heads, -1))
        k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, H, T, d)
        mixed = attend(q, k, v, source.mask)
        return F.dropout(self.out(mixed.transpose(1, 2).flatten(2)), dropout, self.training)


class Pool(nn.Module):
    """One learned query a head reads a source."""

    def __init__(self, dim: int, heads: int, inputs: int, std: float) -> None:
        super().__init__()
        self.reading = Reading(dim, heads, inputs)
        self.query = nn.Parameter(torch.empty(heads, dim // heads).normal_(std=std))

    def forward(self, source: Source) -> Tensor:
        """(B, D) of a source (B, T, E)."""
        q = self.query[:, None].expand(len(source.values), -1, -1, -1)
        return self.reading.read(q, source)[:, 0]


class ReaderModule(nn.Module):
    """A branch of a block: read(norm(x)), times a learned number a channel where there is one."""

    def __init__(self, spec: Reader, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.query = spec.norm.build(dim), nn.Linear(dim, dim)
        self.reading, self.dropout = Reading(dim, spec.heads, dim), dropout
        self.scale = None if spec.scale is None else nn.Parameter(torch.full((dim,), spec.scale))

    def forward(self, x: Tensor, source: Source) -> Tensor:
        """What slots (B, L, D) add of a source (B, T, D)."""
        q = self.query(self.norm(x)).unflatten(-1, (self.reading.heads, -1)).transpose(1, 2)
        read = self.reading.read(q, source, self.dropout)
        return read if self.scale is None else read * self.scale


@dataclass(frozen=True)
class Reader(Spec):
    """Cross-attention of `heads` heads to a source of the block's own width, after `norm`.

    `scale` is the first value of learned factors (LayerScale); None: there are none.
    """

    heads: int
    norm: Norm
    scale: float | None = None

    def build(self, dim: int, dropout: float) -> ReaderModule:
        """The branch for width `dim`, which `heads` must divide; `dropout` acts on what it gives."""
        return ReaderModule(self, dim, dropout)
