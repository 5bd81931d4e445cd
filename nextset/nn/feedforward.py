"""Feed-forward layers of transformer blocks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


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
