"""A memory and its readers: a decoder that is run twice over, once for what is known and once for what is asked (ARPG, arXiv 2503.10568).

The first half of the layers computes the slots that hold something, by any mixer. Their states give one pair of keys and values, which
all layers of the second half share; there the blank slots, each at the site it asks for, read them by cross-attention and see nothing
else (the decoder-decoder of YOCO, Sun et al. 2024, arXiv 2405.05254, with queries of their own). So the cache holds the states of the
first half and one pair of keys and values.

Legend: B batch, L slots, M of them with a value, T of those seen, Q blank ones, D width, H heads, d head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import UsageError
from ..layout import Layout
from ..mixers import EXACT, Cache, Context, Keeping, KeyValues, Mixer
from ..nn.attend import attend
from ..nn.feedforward import SwiGLU, round_up
from ..nn.norm import RMSNorm
from ..nn.rotary import Rotary, rotate
from ..slots import BLANK, NONE, Mask, Slots, SlotTable
from .base import Backbone, BackboneModule
from .llama import Block


class Reader(nn.Module):
    """x + attention(norm(x) over the memory), then x + feedforward(norm(x)); queries see no queries."""

    def __init__(self, spec: TwoPass) -> None:
        super().__init__()
        self.heads, self.dropout = spec.heads, spec.dropout
        self.query_norm = RMSNorm(spec.dim, spec.eps)
        self.query = nn.Linear(spec.dim, spec.dim, bias=False)
        self.out = nn.Linear(spec.dim, spec.dim, bias=False)
        self.feedforward_norm = RMSNorm(spec.dim, spec.eps)
        self.feedforward = SwiGLU(spec.dim, round_up(8 * spec.dim // 3, spec.hidden_multiple), spec.dropout)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], rotary: Tensor, mask: Mask) -> Tensor:
        """(B, Q, D) to (B, Q, D), given keys and values (B, H, T, d)."""
        q = rotate(self.query(self.query_norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2), rotary)
        read = self.out(attend(q, *memory, mask).transpose(1, 2).flatten(2))
        x = x + F.dropout(read, self.dropout, self.training)
        return x + self.feedforward(self.feedforward_norm(x))


class TwoPassModule(BackboneModule):
    """The blocks of the memory, its keys and values, the readers."""

    passing = False  # queries are in no cache

    def __init__(self, spec: TwoPass, layout: Layout) -> None:
        super().__init__()
        turned = spec.mixer.rotary_dim(spec.dim)
        self.spec = spec
        self.rotary = Rotary(layout, spec.dim // spec.heads, spec.rotary_base)
        self.memory_rotary = Rotary(layout, turned, spec.rotary_base) if turned else None
        block = (spec.dim, spec.mixer, spec.dropout, spec.hidden_multiple, spec.eps)
        self.blocks = nn.ModuleList(Block(*block) for _ in range(spec.depth // 2))
        self.memory_norm = RMSNorm(spec.dim, spec.eps)
        self.keys_values = nn.Linear(spec.dim, 2 * spec.dim, bias=False)
        self.readers = nn.ModuleList(Reader(spec) for _ in range(spec.depth // 2))
        self.norm = RMSNorm(spec.dim, spec.eps)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=spec.std)

    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Hidden vectors (B, L, D): of blank slots what they have read, normalised; of others what is remembered of them."""
        remembering, reading = slots.parts or (slots.mask, Mask())
        x, queries = slots.x[:, slots.filled], slots.x[:, slots.blank]
        shared = cache.states[-1] if cache else None
        assert shared is None or isinstance(shared, KeyValues)
        if x.shape[1]:
            x = self._remember(x, slots, remembering, cache)
        *memory, reading = self._keys_values(x, slots, shared, reading)
        if not queries.shape[1]:
            return x
        rotary = self.rotary(slots.site[..., slots.blank])
        for reader in self.readers:
            queries = self._run(reader, queries, memory, rotary, reading)
        return torch.cat([x, self.norm(queries)], dim=1)

    def _remember(self, x: Tensor, slots: Slots, mask: Mask, cache: Cache | None) -> Tensor:
        """The states (B, M, D) of the slots that hold something, normalised."""
        x = F.dropout(x, self.spec.dropout, self.training)
        site = slots.site[..., slots.filled]
        context = Context(self.memory_rotary(site) if self.memory_rotary else None, mask, slots.keep)
        states = cache.states[:-1] if cache else [None] * len(self.blocks)
        for block, state in zip(self.blocks, states, strict=True):
            x = self._run(block, x, context, state)
        normed: Tensor = self.memory_norm(x)
        return normed

    def _keys_values(
        self, x: Tensor, slots: Slots, shared: KeyValues | None, mask: Mask
    ) -> tuple[Tensor, Tensor, Mask]:
        """Keys, turned to their own sites, and values (B, H, T, d) of everything that is remembered, and the mask over it."""
        heads = self.keys_values(x).unflatten(-1, (2, self.spec.heads, -1)).permute(2, 0, 3, 1, 4)
        k, v = rotate(heads[0], self.rotary(slots.site[..., slots.filled])), heads[1]
        return shared.extend(k, v, slots.keep, mask) if shared else (k, v, mask)

    def _run(self, block: Callable[..., Tensor], *args: Any) -> Tensor:
        if self.checkpointing and self.training:
            return checkpoint(block, *args, use_reentrant=False)
        return block(*args)

    def cache(self, batch: int, slots: int, like: Tensor, keeping: Keeping = EXACT) -> Cache:
        """One state a block of the memory, and the keys and values that readers share."""
        heads = self.spec.heads
        shape = (batch, heads, slots, self.spec.dim // heads)
        states = super().cache(batch, slots, like, keeping).states
        shared = keeping.build(shape, like)
        shared.readers = len(self.readers)
        return Cache([*states, shared])


@dataclass(frozen=True)
class TwoPass(Backbone):
    """depth / 2 blocks of width `dim` over `mixer` for the memory, and as many readers with `heads` heads.

    The rest is as in `Llama`: SwiGLU of 8/3 dim rounded up to `hidden_multiple`, dropout on what is known and after every branch.
    """

    dim: int
    depth: int
    mixer: Mixer
    heads: int
    dropout: float = 0.1
    hidden_multiple: int = 256
    rotary_base: float = 10000.0
    eps: float = 1e-5
    std: float = 0.02

    def __post_init__(self) -> None:
        if self.depth < 2 or self.depth % 2 or self.dim % self.heads:
            raise UsageError(f"{self}: depth must be even and at least 2, and heads must divide dim")

    @property
    def width(self) -> int:
        """D."""
        return self.dim

    def check(self, whole: SlotTable) -> None:
        """What is predicted must be asked by pure queries, and everything else be kept."""
        asked = whole.holds == BLANK
        apart = ((whole.predicts != NONE) == asked) & (whole.also == NONE)
        if Mask.parts(whole, whole) is None or not apart.all() or not whole.lasting[~asked].all():
            raise UsageError("the readers of TwoPass are blank slots that nobody sees; use wiring Queries()")
        self.mixer.check(whole.take(~asked))

    def build(self, layout: Layout) -> TwoPassModule:
        """The module for tokens on `layout`."""
        return TwoPassModule(self, layout)
