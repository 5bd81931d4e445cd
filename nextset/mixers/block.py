"""The pre-norm block of transformers: a mixer and a feed-forward, each in a branch of its own, modulated where asked for (ViT, GPT-2, DiT).

    x + gate * mixer(norm(x) * (1 + scale) + shift), then the same with the feed-forward; without modulation gate 1, shift, scale 0.

Between them there may be a branch that reads the condition by cross-attention (Infinity), which nothing modulates.

Legend: B batch, L slots, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..nn.feedforward import FeedForward
from ..nn.modulation import Triple, modulate
from ..nn.norm import Norm
from ..nn.reading import Reader
from ..slots import Source
from .base import Context, Mixer
from .keeping import State


class TransformerBlock(nn.Module):
    """Of width `dim`: a mixer and, where there are such, a reader and a feed-forward. `dropout` acts where these end."""

    def __init__(
        self,
        dim: int,
        mixer: Mixer,
        feedforward: FeedForward | None,
        norm: Norm,
        dropout: float,
        reader: Reader | None = None,
    ) -> None:
        super().__init__()
        self.mixer_norm, self.mixer = norm.build(dim), mixer.build(dim, dropout)
        self.reader = reader.build(dim, dropout) if reader else None
        if feedforward is not None:
            self.feedforward_norm = norm.build(dim)
            self.feedforward = feedforward.build(dim, dropout)
        self.branches = 1 if feedforward is None else 2

    def forward(
        self,
        x: Tensor,
        context: Context,
        state: State | None = None,
        triples: tuple[Triple, ...] | None = None,
        source: Source | None = None,
    ) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        shift, scale, gate = triples[0] if triples else (None, None, None)
        x = _add(x, self.mixer(_modulated(self.mixer_norm(x), shift, scale), context, state), gate)
        if self.reader is not None:
            assert source is not None, "Network checks that there is something to read"
            x = x + self.reader(x, source)
        if self.branches == 1:
            return x
        shift, scale, gate = triples[1] if triples else (None, None, None)
        return _add(x, self.feedforward(_modulated(self.feedforward_norm(x), shift, scale)), gate)


def _modulated(x: Tensor, shift: Tensor | None, scale: Tensor | None) -> Tensor:
    return x if shift is None or scale is None else modulate(x, shift, scale)


def _add(x: Tensor, branch: Tensor, gate: Tensor | None) -> Tensor:
    return x + branch if gate is None else torch.addcmul(x, gate, branch)
