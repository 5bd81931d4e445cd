"""U-ViT: a transformer whose later half reads the outputs of its earlier half again (Bao et al. 2022, arXiv 2209.12152).

Blocks of the first half, one in the middle, and blocks of the second half, of which the i-th from the end takes linear([x, s]) in
place of x, with s what the i-th block of the first half gave. Legend: B batch, L slots, N sites, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import UsageError
from ..layout import Layout
from ..mixers import BiasedAttention, Cache, Context, Mixer, State
from ..nn.feedforward import MLP, FeedForward
from ..nn.norm import Layer
from ..slots import Slots
from .base import Backbone, BackboneModule


class UViTBlock(nn.Module):
    """x + mixer(norm(x)), then x + feedforward(norm(x)); with a long skip, x is joined with it first."""

    def __init__(self, spec: UViT, skip: bool) -> None:
        super().__init__()
        self.join = nn.Linear(2 * spec.dim, spec.dim) if skip else None
        self.mixer_norm, self.mixer = Layer(eps=spec.eps).build(spec.dim), spec.mixer.build(spec.dim, spec.dropout)
        self.feedforward_norm = Layer(eps=spec.eps).build(spec.dim)
        self.feedforward = spec.feedforward.build(spec.dim, spec.dropout)

    def forward(self, x: Tensor, context: Context, state: State | None, skip: Tensor | None) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        if self.join is not None and skip is not None:
            x = self.join(torch.cat([x, skip], dim=-1))
        x = x + self.mixer(self.mixer_norm(x), context, state)
        return x + self.feedforward(self.feedforward_norm(x))


class UViTModule(BackboneModule):
    """Positions, both halves and the middle, final norm."""

    def __init__(self, spec: UViT, layout: Layout) -> None:
        super().__init__()
        self.dropout, half = spec.dropout, spec.depth // 2
        self.positions = nn.Parameter(torch.empty(layout.sites + 1, spec.dim).normal_(std=spec.std))  # first: no site
        self.rising = nn.ModuleList(UViTBlock(spec, False) for _ in range(half))
        self.middle = UViTBlock(spec, False)
        self.falling = nn.ModuleList(UViTBlock(spec, True) for _ in range(half))
        self.norm = Layer(eps=spec.eps).build(spec.dim)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=spec.std, a=-2 * spec.std, b=2 * spec.std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Hidden vectors (B, L, D), normalised."""
        x = F.dropout(slots.x + self.positions[slots.site + 1], self.dropout, self.training)
        context = Context(None, slots.mask, slots.keep)
        half = len(self.rising)
        states = cache.states if cache else [None] * (2 * half + 1)
        skips: list[Tensor] = []
        for i, block in enumerate((*self.rising, self.middle, *self.falling)):
            skip = skips.pop() if i > half else None
            if self.checkpointing and self.training:
                x = checkpoint(block, x, context, states[i], skip, use_reentrant=False)
            else:
                x = block(x, context, states[i], skip)
            if i < half:
                skips.append(x)
        return self.norm(x)


@dataclass(frozen=True)
class UViT(Backbone):
    """`depth` blocks of width `dim`, an even number, beside the one in the middle.

    Positions are learned, with a row for slots without a site; `std` of the initial matrices.
    """

    dim: int
    depth: int
    mixer: Mixer = BiasedAttention(16, inner=False)
    feedforward: FeedForward = MLP()
    dropout: float = 0.0
    eps: float = 1e-5
    std: float = 0.02

    def __post_init__(self) -> None:
        if self.depth < 2 or self.depth % 2:
            raise UsageError(f"{self}: depth must be even, so that every block of one half meets one of the other")

    @property
    def width(self) -> int:
        """D."""
        return self.dim

    def build(self, layout: Layout) -> UViTModule:
        """The module for tokens on `layout`."""
        return UViTModule(self, layout)
