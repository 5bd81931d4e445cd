"""Upsampled context: every site of a scale is predicted in its own slot from what the scales before it add up to (VAR, arXiv 2404.02905).

Block 0 are the last condition slots, as start tokens; block k holds what the tokenizer feeds back for it (`Codec.feedback`): the
running reconstruction of VAR, the scale before in FlexVAR. Slots see their own block and those before it. Where the tokenizer
feeds back sums, a slot carries all earlier blocks; in `holds` it is known by the last rank of the block before.

Legend: B batch, N sites, P condition slots, n sites of a call, K scales, C width of what is fed back, D width.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Layout, Tokens, Unit, blank
from ..nn.places import Places, SiteTable
from ..orders.base import Plan
from ..slots import NONE, PREFIX, SlotTable
from .base import Call, Wiring, WiringModule


class UpsampledModule(WiringModule):
    """A linear map of what is fed back, positions, and what makes start tokens of condition slots."""

    def __init__(self, spec: Upsampled, dim: int, unit: Unit, layout: Layout, codec: Codec) -> None:
        super().__init__()
        self.layout = layout
        self._feedback = codec.feedback  # a method of the tokenizer, which stays the model's
        self.embed = nn.Linear(_width(unit, layout, codec), dim)
        nn.init.trunc_normal_(self.embed.weight, std=spec.std, a=-2 * spec.std, b=2 * spec.std)
        nn.init.zeros_(self.embed.bias)
        self.start = nn.Parameter(torch.empty(layout.ends[0], dim).normal_(std=spec.std))
        self.places = spec.places.build(dim, layout)

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Start tokens, then the blocks that the call holds; earlier blocks are read, others may be anything."""
        layout = plan.layout or self.layout
        held = prefix[:, :0]
        if call.prefixed:
            begin = self.start + self.places(layout, range(1))
            prefix = prefix + F.pad(begin, (0, 0, prefix.shape[1] - len(begin), 0))
        scales = _scales(call.table, layout)
        if len(scales):
            context = self._feedback(Tokens(tokens, layout), scales)
            held = self.embed(context.to(self.embed.weight.dtype)) + self.places(layout, scales)
        return call.arrange(prefix, held)


def _width(unit: Unit, layout: Layout, codec: Codec) -> int:
    """C, found by asking for the second block; 1 where there is only one."""
    if len(layout.blocks) == 1:
        return 1
    return codec.feedback(blank(unit, layout, 1, torch.get_default_device()), range(1, 2)).shape[-1]


def _scales(table: SlotTable, layout: Layout) -> range:
    """The blocks that slots with tokens sit in."""
    at = table.at[table.holds >= 0]
    if not len(at):
        return range(0)
    first, last = np.searchsorted(layout.ends, (at[0], at[-1]), side="right")
    return range(int(first), int(last) + 1)


@dataclass(frozen=True)
class Upsampled(Wiring):
    """One step a block. `places` are the positions; `std` of the initial map and start tokens."""

    places: Places = field(default_factory=SiteTable)
    std: float = 0.02

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The condition slots, of which the last predict block 0, then the sites of every later block."""
        if prefix < sizes[0]:
            raise UsageError(
                f"wiring Upsampled predicts the {sizes[0]} sites of the first step from as many condition slots, "
                f"but the condition has {prefix}"
            )
        first, *others = (_table(index, sizes, prefix) for index in range(len(sizes)))
        return first.join(*others)

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """The condition slots at first, then the sites of a block."""
        return _table(index, sizes, prefix)

    def check(self, sizes: tuple[int, ...], layout: Layout) -> None:
        """Its steps are the blocks of the layout."""
        if sizes != tuple(math.prod(block) for block in layout.blocks):
            raise UsageError(
                f"wiring Upsampled predicts one block of the layout a step, but the order takes steps of {sizes[:4]}... "
                f"on {layout}; use order Scales"
            )

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> UpsampledModule:
        """The maps."""
        if layout.axes[-2:] != ("y", "x"):
            raise UsageError(f"wiring Upsampled resizes maps, but the sites of this tokenizer lie on {layout.axes}")
        return UpsampledModule(self, dim, unit, layout, codec)


@functools.lru_cache(maxsize=1024)
def _table(index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
    start = sum(sizes[:index])
    ranks = np.arange(start, start + sizes[index])
    if index:
        return SlotTable.of(
            np.full(len(ranks), start - 1), ranks, ranks, avail=ranks * 0 + index, sees=ranks * 0 + index
        )
    places = np.concatenate([np.full(prefix - len(ranks), NONE), ranks])
    return SlotTable.of(np.full(prefix, PREFIX), places, places, avail=[0] * prefix, sees=[0] * prefix)
