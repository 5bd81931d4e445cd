"""Normalisation layers computed in at least float32 whatever the input type."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import at_least_float32


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis (Zhang and Sennrich 2019)."""

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and dtype as `x`."""
        wide = at_least_float32(x)
        if wide is x:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return F.rms_norm(wide, self.weight.shape, None, self.eps).to(x.dtype) * self.weight
