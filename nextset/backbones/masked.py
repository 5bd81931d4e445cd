"""Masked autoencoder: an encoder that computes known slots only, and a decoder that computes all (MAE, arXiv 2111.06377; MAR, 2406.11838).

    known   = norm(blocks(norm(x[known] + positions)))
    hidden  = norm(blocks(scatter(map(known)) + positions)) + positions of sites

Slots without a token of their own enter the decoder as they are: mask vectors. So unknown sites cost half, and each of the three
tables of positions is the model's own. Legend: B batch, L slots, F known ones, P condition slots, N sites, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import UsageError
from ..layout import Layout
from ..mixers import Cache, Context, Mixer, State, TransformerBlock
from ..nn.feedforward import MLP, FeedForward
from ..nn.norm import Layer, Norm
from ..slots import PREFIX, Mask, Slots, SlotTable
from .base import Backbone, BackboneModule


class MaskedAutoencoderModule(BackboneModule):
    """Both stacks, what leads from one to the other, and the positions."""

    aligned = True  # the encoder takes the known slots of all samples at once

    def __init__(self, spec: MaskedAutoencoder, layout: Layout) -> None:
        super().__init__()
        self.prefix, dim = spec.prefix, spec.dim
        places = spec.prefix + layout.sites
        self.encoder_positions, self.decoder_positions, self.site_positions = (
            nn.Parameter(torch.empty(count, dim).normal_(std=spec.std)) for count in (places, places, layout.sites)
        )
        self.input_norm, self.encoder_norm, self.decoder_norm = (spec.norm.build(dim) for _ in range(3))
        parts = spec.feedforward, spec.norm, spec.dropout
        late, mixer = spec.decoder_depth or spec.depth, spec.decoder_mixer or spec.mixer
        self.encoder = nn.ModuleList(TransformerBlock(dim, spec.mixer, *parts) for _ in range(spec.depth))
        self.between = nn.Linear(dim, dim)
        self.decoder = nn.ModuleList(TransformerBlock(dim, mixer, *parts) for _ in range(late))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Hidden vectors (B, L, D), normalised, with the positions of their sites."""
        place = self._places(slots.site)
        states = iter(cache.states if cache else [None] * (len(self.encoder) + len(self.decoder)))
        known = self.encode(slots, place, states)
        x = torch.index_copy(slots.x, 1, _indices(slots), self.between(known).to(slots.x.dtype))
        x = x + self.decoder_positions[place]
        x = self._run(self.decoder, x, Context(None, slots.mask, slots.keep), states)
        return self.decoder_norm(x) + F.pad(self.site_positions, (0, 0, 0, 1))[slots.site]  # no site: zeros

    def encode(self, slots: Slots, place: Tensor, states: Iterator[State | None]) -> Tensor:
        """The encoder's vectors (B, F, D) of the slots that hold something; `place` (L,) or (B, L) are their rows of positions."""
        filled = slots.filled
        x = self.input_norm(slots.x[:, filled] + self.encoder_positions[place[..., filled]])
        return self.encoder_norm(self._run(self.encoder, x, _among_filled(slots), states))

    def _run(self, blocks: nn.ModuleList, x: Tensor, context: Context, states: Iterator[State | None]) -> Tensor:
        for block, state in zip(blocks, states, strict=False):
            if self.checkpointing and self.training:
                x = checkpoint(block, x, context, state, None, use_reentrant=False)
            else:
                x = block(x, context, state, None)
        return x

    def _places(self, site: Tensor) -> Tensor:
        """Rows of positions: slots without a site take the first P, one after the other."""
        absent = site < 0
        return torch.where(absent, absent.cumsum(-1) - 1, site + self.prefix)


def _indices(slots: Slots) -> Tensor:
    if isinstance(slots.filled, slice):
        return torch.arange(slots.x.shape[1], device=slots.x.device)[slots.filled]
    return slots.filled


def _among_filled(slots: Slots) -> Context:
    """What the encoder's slots may see: each other as before, and all that was kept, which are the encoder's own."""
    length, mask = slots.x.shape[1], slots.mask
    filled = _indices(slots)
    if mask.dense is not None:
        past = mask.dense.shape[-1] - length
        keys = torch.cat([torch.arange(past, device=filled.device), past + filled])
        mask = Mask(dense=mask.dense[..., filled, :][..., keys])
    return Context(None, mask, slots.keep)


@dataclass(frozen=True)
class MaskedAutoencoder(Backbone):
    """`depth` blocks of width `dim` encode, `decoder_depth` (0: as many) decode; positions are learned, for `prefix` condition slots too.

    `decoder_mixer` is that of the decoder's blocks, where it is not the encoder's. `std` is that of the initial positions.
    """

    dim: int
    depth: int
    mixer: Mixer
    prefix: int = 64
    decoder_depth: int = 0
    feedforward: FeedForward = MLP()
    norm: Norm = Layer()
    dropout: float = 0.1
    std: float = 0.02
    decoder_mixer: Mixer | None = None

    @property
    def width(self) -> int:
        """D."""
        return self.dim

    def check(self, whole: SlotTable) -> None:
        """As many condition slots as there are positions for, and nothing unknown kept."""
        groups = np.unique(whole.group[whole.holds == PREFIX], return_counts=True)[1]
        found = int(groups.max()) if len(groups) else 0
        if found != self.prefix:
            raise UsageError(
                f"backbone MaskedAutoencoder has positions for {self.prefix} condition slots, but the condition gives {found}; "
                f"make prefix={found}"
            )
        if (whole.lasting & (whole.holds < PREFIX)).any():
            raise UsageError(
                "backbone MaskedAutoencoder encodes known tokens only, but the wiring keeps slots without one; use wiring Masked"
            )

    def build(self, layout: Layout) -> MaskedAutoencoderModule:
        """The module for tokens on `layout`."""
        return MaskedAutoencoderModule(self, layout)
