"""Feed-forward layers of transformer blocks, and the specs of those that a block may choose from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..spec import Spec


def round_up(size: int, multiple: int) -> int:
    """The smallest multiple that is not below `size`."""
    return -(-size // multiple) * multiple


class SwiGLU(nn.Module):
    """w2(silu(w1 x) * w3 x) without biases (Shazeer 2020); w1 and w3 are the halves of one matrix."""

    def __init__(self, dim: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.rise = nn.Linear(dim, 2 * hidden, bias=False)
        self.fall = nn.Linear(hidden, dim, bias=False)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        gate, value = self.rise(x).chunk(2, dim=-1)
        return F.dropout(self.fall(F.silu(gate) * value), self.dropout, self.training)


class MLPModule(nn.Module):
    """fall(gelu(rise(x))), with biases."""

    def __init__(self, dim: int, hidden: int, tanh: bool, inner: float, dropout: float) -> None:
        super().__init__()
        self.inner = inner
        self.rise, self.fall = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.approximate, self.dropout = "tanh" if tanh else "none", dropout

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        hidden = F.dropout(F.gelu(self.rise(x), approximate=self.approximate), self.inner, self.training)
        return F.dropout(self.fall(hidden), self.dropout, self.training)


class GEGLUModule(nn.Module):
    """fall(gelu(gate) * value), with biases (Shazeer 2020); gate and value are the halves of one map."""

    def __init__(self, dim: int, hidden: int, inner: float, dropout: float) -> None:
        super().__init__()
        self.rise, self.fall = nn.Linear(dim, 2 * hidden), nn.Linear(hidden, dim)
        self.inner, self.dropout = inner, dropout

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        gate, value = self.rise(x).chunk(2, dim=-1)
        hidden = F.dropout(F.gelu(gate) * value, self.inner, self.training)
        return F.dropout(self.fall(hidden), self.dropout, self.training)


@dataclass(frozen=True)
class FeedForward(Spec, ABC):
    """Describes a feed-forward layer."""

    @abstractmethod
    def build(self, dim: int, dropout: float) -> nn.Module:
        """The layer for width `dim`; `dropout` acts on what it gives."""


@dataclass(frozen=True)
class MLP(FeedForward):
    """Two maps with GELU between them; the inner width is `hidden`, or 4 dim where that is 0; `tanh` is GELU's fast form.

    `inner` is a dropout between the maps.
    """

    hidden: int = 0
    tanh: bool = False
    inner: float = 0.0

    def build(self, dim: int, dropout: float) -> MLPModule:
        """The layer."""
        return MLPModule(dim, self.hidden or 4 * dim, self.tanh, self.inner, dropout)


@dataclass(frozen=True)
class GEGLU(FeedForward):
    """A gated layer; the inner width is `hidden`, or 8/3 dim rounded down where that is 0 (as many weights as `MLP`).

    `inner` is a dropout between the maps.
    """

    hidden: int = 0
    inner: float = 0.0

    def build(self, dim: int, dropout: float) -> GEGLUModule:
        """The layer."""
        return GEGLUModule(dim, self.hidden or 8 * dim // 3, self.inner, dropout)
