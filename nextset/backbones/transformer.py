"""Pre-norm transformer with a choice of norm, feed-forward and positions, modulated by a vector where asked for (ViT, GPT-2, DiT).

Its blocks are those of mixers/block.py. Legend: B batch, L slots, N sites, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layout import Layout
from ..mixers import Cache, Context, Mixer, TransformerBlock
from ..nn.feedforward import MLP, FeedForward
from ..nn.modulation import ModulatedNorm, Modulation, Triple
from ..nn.norm import Layer, Norm
from ..nn.reading import Reader
from ..nn.rotary import ByOwn, Turning
from ..slots import Slots, SlotTable
from .base import Backbone, BackboneModule


class TransformerModule(BackboneModule):
    """Positions, blocks, final norm."""

    def __init__(self, spec: Transformer, layout: Layout) -> None:
        super().__init__()
        turned = spec.mixer.rotary_dim(spec.dim) if spec.rotary_base else None
        self.spec = spec
        self.rotary = spec.turning.build(layout, turned, spec.rotary_base) if turned else None
        parts = spec.mixer, spec.feedforward, spec.norm, spec.dropout, spec.reader
        self.blocks = nn.ModuleList(TransformerBlock(spec.dim, *parts) for _ in range(spec.depth))
        if spec.learned:
            self.positions = nn.Parameter(torch.empty(layout.sites + 1, spec.dim).normal_(std=spec.std))
        self.start = spec.start.build(spec.dim) if spec.start else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=spec.std, a=-2 * spec.std, b=2 * spec.std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        final = spec.final.build(spec.dim) if spec.final else nn.Identity()
        if spec.modulation is None:
            self.modulation, self.norm = None, final
        else:
            branches = 1 if spec.feedforward is None else 2
            self.modulation = spec.modulation.build(spec.dim, spec.depth, branches)
            self.norm = ModulatedNorm(final, spec.dim, spec.modulation.std) if spec.modulated_end else final

    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Hidden vectors (B, L, D), normalised."""
        x = slots.x if not self.spec.learned else slots.x + self.positions[slots.site]  # the last row: no site
        x = F.dropout(self.start(x), self.spec.first_dropout, self.training)
        context = Context(self.rotary(slots.site, slots.target) if self.rotary else None, slots.mask, slots.keep)
        states = cache.states if cache else [None] * len(self.blocks)
        triples = self._triples(slots)
        for index, (block, state, own) in enumerate(zip(self.blocks, states, triples, strict=True)):
            if self.checkpointing and self.training:
                x = checkpoint(block, x, context, state, own, slots.source, use_reentrant=False)
            else:
                x = block(x, context, state, own, slots.source)
            x = x if slots.blend is None else slots.blend(index - len(self.blocks), x)
        return self.norm(x, slots.vector) if isinstance(self.norm, ModulatedNorm) else self.norm(x)

    def _triples(self, slots: Slots) -> list[tuple[Triple, ...]] | list[None]:
        if self.modulation is None:
            return [None] * len(self.blocks)
        assert slots.vector is not None, "Network checks that modulated backbones get a vector"
        found: list[tuple[Triple, ...]] = self.modulation(slots.vector)
        return found


@dataclass(frozen=True)
class Transformer(Backbone):
    """`depth` blocks of width `dim`.

    `feedforward` None leaves only mixers. `modulation` None: no vector is used; else also the final norm is modulated, unless not
    `modulated_end`. Positions: `rotary_base` > 0 rotary ones, of the sites that `turning` says; `learned` a table of sites
    (with a row for slots without one). `start` normalises the input, positions included; `final` None: no norm at the end.
    `dropout` acts where mixers and feed-forwards end and, unless there is an `input_dropout`, on the input. `std` of the initial
    matrices. `reader` is cross-attention to what the condition has to be read, after every mixer.
    """

    dim: int
    depth: int
    mixer: Mixer
    feedforward: FeedForward | None = MLP()
    norm: Norm = Layer()
    final: Norm | None = Layer()
    modulation: Modulation | None = None
    modulated_end: bool = True
    rotary_base: float = 0.0
    learned: bool = False
    dropout: float = 0.1
    std: float = 0.02
    turning: Turning = ByOwn()
    input_dropout: float | None = None
    start: Norm | None = None
    reader: Reader | None = None

    @property
    def width(self) -> int:
        """D."""
        return self.dim

    @property
    def first_dropout(self) -> float:
        """The dropout of the input."""
        return self.dropout if self.input_dropout is None else self.input_dropout

    @property
    def modulated(self) -> bool:
        """Whether a vector modulates the blocks."""
        return self.modulation is not None

    @property
    def seams(self) -> int:
        """After every block."""
        return self.depth

    @property
    def listens(self) -> bool:
        """Whether it has a reader."""
        return self.reader is not None

    def check(self, whole: SlotTable) -> None:
        """The mixer decides."""
        self.mixer.check(whole)

    def build(self, layout: Layout) -> TransformerModule:
        """The module for tokens on `layout`."""
        return TransformerModule(self, layout)
