"""Llama-style transformer: pre-RMSNorm blocks of a mixer and a SwiGLU, no biases, rotary positions on the layout's axes.

Touvron et al. 2023 (arXiv 2302.13971), in the form LlamaGen (arXiv 2406.06525) gave it for images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layout import Layout
from ..mixers import Cache, Context, Mixer, State
from ..nn.feedforward import SwiGLU, round_up
from ..nn.norm import RMSNorm
from ..nn.rotary import ByOwn, Turning
from ..slots import Slots, SlotTable
from .base import Backbone, BackboneModule


class Block(nn.Module):
    """x + mixer(norm(x)), then x + feedforward(norm(x))."""

    def __init__(self, dim: int, mixer: Mixer, dropout: float, hidden_multiple: int, eps: float) -> None:
        super().__init__()
        self.mixer_norm = RMSNorm(dim, eps)
        self.mixer = mixer.build(dim, dropout)
        self.feedforward_norm = RMSNorm(dim, eps)
        self.feedforward = SwiGLU(dim, round_up(8 * dim // 3, hidden_multiple), dropout)

    def forward(self, x: Tensor, context: Context, state: State | None) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        x = x + self.mixer(self.mixer_norm(x), context, state)
        return x + self.feedforward(self.feedforward_norm(x))


def through(
    blocks: Iterable[nn.Module], x: Tensor, context: Context, states: Sequence[State | None], recompute: bool
) -> Tensor:
    """The stream (B, L, D) after these blocks; `recompute`: activations are computed again in the backward pass."""
    for block, state in zip(blocks, states, strict=True):
        x = checkpoint(block, x, context, state, use_reentrant=False) if recompute else block(x, context, state)
    return x


class LlamaModule(BackboneModule):
    """Blocks and a final norm."""

    def __init__(self, spec: Llama, layout: Layout) -> None:
        super().__init__()
        turned = spec.mixer.rotary_dim(spec.dim)
        self.dropout = spec.dropout
        self.rotary = spec.turning.build(layout, turned, spec.rotary_base) if turned else None
        block = (spec.dim, spec.mixer, spec.dropout, spec.hidden_multiple, spec.eps)
        self.blocks = nn.ModuleList(Block(*block) for _ in range(spec.depth))
        self.norm = RMSNorm(spec.dim, spec.eps)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=spec.std)

    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Hidden vectors (B, L, D), normalised."""
        x, context = self.enter(slots)
        states = cache.states if cache else [None] * len(self.blocks)
        return self.norm(through(self.blocks, x, context, states, self.checkpointing and self.training))

    def enter(self, slots: Slots) -> tuple[Tensor, Context]:
        """The stream before the first block, and what every block is told."""
        x = F.dropout(slots.x, self.dropout, self.training)
        return x, Context(self.rotary(slots.site, slots.target) if self.rotary else None, slots.mask, slots.keep)


@dataclass(frozen=True)
class Llama(Backbone):
    """`depth` blocks of width `dim`; the feed-forward width is 8/3 dim rounded up to `hidden_multiple`.

    `dropout` acts on the input, after every mixer and after every feed-forward; `std` is that of the initial matrices.
    `turning` says by which sites rotary positions turn a slot.
    """

    dim: int
    depth: int
    mixer: Mixer
    dropout: float = 0.1
    hidden_multiple: int = 256
    rotary_base: float = 10000.0
    eps: float = 1e-5
    std: float = 0.02
    turning: Turning = ByOwn()

    @property
    def width(self) -> int:
        """D."""
        return self.dim

    def check(self, whole: SlotTable) -> None:
        """The mixer decides."""
        self.mixer.check(whole)

    def build(self, layout: Layout) -> LlamaModule:
        """The module for tokens on `layout`."""
        return LlamaModule(self, layout)
