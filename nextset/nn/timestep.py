"""A noise level as a vector: sines and cosines of many wavelengths, then a small network (ADM, Dhariwal and Nichol 2021; DiT).

    f_i = 10000^(-i / 128),   features = [cos(k f_0) ... cos(k f_127), sin(k f_0) ... sin(k f_127)],   k = floor(1000 level)

Published networks know 1000 whole levels, so the level is rounded down to one of them.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .denoiser import WAVES, waves

LEVELS = 1000


class TimestepEmbedding(nn.Module):
    """Two maps with SiLU between them, on 256 sines and cosines. `std` of the initial matrices."""

    def __init__(self, dim: int, std: float = 0.02) -> None:
        super().__init__()
        self.rise, self.fall = nn.Linear(WAVES, dim), nn.Linear(dim, dim)
        for layer in (self.rise, self.fall):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, level: Tensor) -> Tensor:
        """Levels in [0, 1], (...) of any shape, to vectors (..., D)."""
        return self.fall(F.silu(self.rise(waves((level.float() * LEVELS).floor()).to(self.rise.weight.dtype))))
