"""A small network that tells noise from signal in one vector: an MLP modulated by noise level and condition (MAR, arXiv 2406.11838).

    h = rise(x);   h = h + gate MLP(norm(h) (1 + scale) + shift)   each block;   out(norm(h) (1 + scale) + shift)

All modulations are maps of one vector, time(t) + condition(z). Legend: B batch, n sites, C channels, W width, D width of a condition.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .modulation import Each, ModulatedNorm, Triple, modulate
from .norm import LayerNorm

WAVES, SLOWEST = 256, 10000.0


def waves(t: Tensor, count: int = WAVES) -> Tensor:
    """Cosines, then sines, of t (...) at count / 2 frequencies from 1 down to almost 1 / SLOWEST, (..., count) float32."""
    frequencies = torch.exp(-math.log(SLOWEST) * torch.arange(count // 2, device=t.device) / (count // 2))
    angles = t[..., None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class DenoiserBlock(nn.Module):
    """One residual branch of two maps of the same width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = LayerNorm(width, eps=1e-6)
        self.rise, self.fall = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h: Tensor, triple: Triple) -> Tensor:
        """(B, n, W) to (B, n, W)."""
        shift, scale, gate = triple
        inner = nn.functional.silu(self.rise(modulate(self.norm(h), shift, scale)))
        return torch.addcmul(h, gate, self.fall(inner))


class Denoiser(nn.Module):
    """`depth` blocks of `width`; gates start closed and the last map starts at zero, so the first output is zero."""

    def __init__(self, channels: int, out: int, dim: int, width: int, depth: int) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.condition = nn.Linear(dim, width)
        self.rise = nn.Linear(channels, width)
        self.blocks = nn.ModuleList(DenoiserBlock(width) for _ in range(depth))
        self.out = nn.Linear(width, out)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        for layer in self.time:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(self.out.weight)
        self.modulation = Each().build(width, depth, 1)
        self.end = ModulatedNorm(LayerNorm(width, eps=1e-6, elementwise_affine=False), width)

    def times(self, t: Tensor) -> Tensor:
        """The vector of noise levels t (...), (..., W)."""
        found: Tensor = self.time(waves(t).to(self.rise.weight.dtype))
        return found

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Of noisy x (B, n, C) and `times(t) + condition(z)` (B, n, W), (B, n, out)."""
        h = self.rise(x.to(self.rise.weight.dtype))
        for block, (triple,) in zip(self.blocks, self.modulation(vector), strict=True):
            h = block(h, triple)
        found: Tensor = self.out(self.end(h, vector))
        return found
