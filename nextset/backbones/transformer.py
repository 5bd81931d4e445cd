"""Pre-norm transformer with a choice of norm, feed-forward and positions, modulated by a vector where asked for (ViT, GPT-2, DiT).

    x + gate * mixer(norm(x) * (1 + scale) + shift), then the same with the feed-forward; without modulation gate 1, shift, scale 0.

Between them there may be a branch that reads the condition by cross-attention (Infinity), which nothing modulates.

Legend: B batch, L slots, N sites, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layout import Layout
from ..mixers import Cache, Context, Mixer, State
from ..nn.feedforward import MLP, FeedForward
from ..nn.modulation import ModulatedNorm, Modulation, Triple, modulate
from ..nn.norm import Layer, Norm
from ..nn.reading import Reader
from ..nn.rotary import ByOwn, Turning
from ..slots import Slots, SlotTable, Source
from .base import Backbone, BackboneModule


class TransformerBlock(nn.Module):
    """A mixer and, where there are such, a reader and a feed-forward, each in a branch of its own."""

    def __init__(self, spec: Transformer) -> None:
        super().__init__()
        self.mixer_norm, self.mixer = spec.norm.build(spec.dim), spec.mixer.build(spec.dim, spec.dropout)
        self.reader = spec.reader.build(spec.dim, spec.dropout) if spec.reader else None
        if spec.feedforward is not None:
            self.feedforward_norm = spec.norm.build(spec.dim)
            self.feedforward = spec.feedforward.build(spec.dim, spec.dropout)
        self.branches = 1 if spec.feedforward is None else 2

    def forward(
        self,
        x: Tensor,
        context: Context,
        state: State | None,
        triples: tuple[Triple, ...] | None,
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


class TransformerModule(BackboneModule):
    """Positions, blocks, final norm."""

    def __init__(self, spec: Transformer, layout: Layout) -> None:
        super().__init__()
        turned = spec.mixer.rotary_dim(spec.dim) if spec.rotary_base else None
        self.spec = spec
        self.rotary = spec.turning.build(layout, turned, spec.rotary_base) if turned else None
        self.blocks = nn.ModuleList(TransformerBlock(spec) for _ in range(spec.depth))
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
