"""Every backbone: with a cache it computes what it computes without, and recomputing activations changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nextset.backbones import Backbone, BackboneModule
from nextset.layout import Layout, grid, pyramid, video
from nextset.slots import BLANK, NEVER, NONE, Mask, Slots, SlotTable, Source

from .parts import accepts, toys

LENGTH, BATCH = 6, 3
LAYOUTS = (grid(2, 3), video(2, 2, 2), pyramid(1, 2))
CASES = [(part, layout) for part in toys(Backbone) for layout in LAYOUTS if accepts(part.build, layout)]
over_layouts = pytest.mark.parametrize(("part", "layout"), CASES, ids=str)


def chain() -> SlotTable:
    """A condition slot, then tokens; each sees itself and all before it."""
    step, rank = np.arange(LENGTH), np.arange(-1, LENGTH - 1)  # PREFIX and NONE are -1
    return SlotTable.of(rank, rank, step, avail=step, sees=step)


def asked() -> SlotTable:
    """The same, and as many pure queries, each of which sees as many of them."""
    step = np.arange(LENGTH)
    none = np.full(LENGTH, NONE)
    memory = SlotTable.of(step, step, none, avail=step, sees=step)
    return memory.join(SlotTable.of(none + BLANK - NONE, step, step, avail=none * 0 + NEVER, sees=step))


class Setting:
    """A backbone in float64 with slots under a causal mask: one without a site, then the first sites in a random order a sample.

    Where the backbone wants queries, each slot has one beside it.
    """

    def __init__(self, part: Backbone, layout: Layout) -> None:
        self.module: BackboneModule = part.build(layout).double().eval()
        self.table = chain() if accepts(part.check, chain()) else asked()
        part.check(self.table)
        slots = len(self.table)
        self.x = torch.randn(BATCH, slots, part.width).double()
        order = torch.stack([torch.randperm(layout.sites)[: LENGTH - 1] for _ in range(BATCH)])
        self.site = torch.nn.functional.pad(order, (LENGTH - order.shape[1], 0), value=-1)
        if slots > LENGTH:
            self.site = torch.cat([self.site, self.site.roll(-1, 1)], dim=1)
        self.target = self.site.roll(-1, 1)
        self.vector = torch.randn(BATCH, part.width).double()
        self.heard = torch.randn(BATCH, 3, part.width).double()
        self.audible = torch.arange(3) <= torch.arange(BATCH)[:, None]

    def places(self, start: int, end: int) -> np.ndarray:
        """The slots of one call: those that are kept, and the queries beside them."""
        place = np.arange(start, end)
        return place if len(self.table) == LENGTH else np.concatenate([place, place + LENGTH])

    def slots(self, start: int = 0, end: int = LENGTH, rows: slice = slice(None)) -> Slots:
        """Slots [start, end) of some samples, all to be kept, and their queries."""
        places, kept = self.places(start, end), end - start
        table, past = self.table.take(places), self.table.take(slice(0, start))
        keys = past.join(table)
        return Slots(
            self.x[rows, places],
            self.site[rows, places],
            Mask.between(table, keys),
            kept,
            self.vector[rows],
            self.target[rows, places],
            filled=slice(0, kept),
            blank=slice(kept, len(places)),
            parts=Mask.parts(table, keys),
            source=Source(self.heard[rows], Mask(dense=self.audible[rows, None, None])),
        )


@pytest.mark.parametrize("part", toys(Backbone), ids=str)
def test_takes_some_layout(part: Backbone) -> None:
    assert any(case[0] is part for case in CASES)


@over_layouts
@pytest.mark.parametrize("cuts", [(1, 2, 3, 4, 5), (4,), (2, 3)], ids=str)
def test_cached_is_uncached(part: Backbone, layout: Layout, cuts: tuple[int, ...]) -> None:
    """Slot by slot or in pieces, for every row; then the first samples alone, from where all were."""
    setting = Setting(part, layout)
    whole = setting.module(setting.slots())
    assert whole.shape == (BATCH, len(setting.table), part.out)
    cache = setting.module.cache(BATCH, LENGTH, setting.x)
    for start, end in zip((0, *cuts[:-1]), cuts, strict=True):
        out = setting.module(setting.slots(start, end), cache)
        torch.testing.assert_close(out, whole[:, setting.places(start, end)], rtol=1e-10, atol=1e-10)
    last = setting.module(setting.slots(cuts[-1], LENGTH, slice(2)), cache.narrow(2))
    torch.testing.assert_close(last, whole[:2, setting.places(cuts[-1], LENGTH)], rtol=1e-10, atol=1e-10)


@over_layouts
def test_positions_matter(part: Backbone, layout: Layout) -> None:
    """The same contents at other sites compute something else."""
    setting = Setting(part, layout)
    before = setting.module(setting.slots())
    setting.site = torch.where(setting.site < 0, setting.site, (setting.site + 1) % layout.sites)
    assert not torch.allclose(setting.module(setting.slots()), before)


@over_layouts
def test_checkpointing_gives_equal_gradients(part: Backbone, layout: Layout) -> None:
    """Dropout included: the recomputation draws the same numbers."""

    def gradients(checkpointing: bool) -> list[Tensor]:
        torch.manual_seed(0)
        setting = Setting(part, layout)
        setting.module.train().checkpointing = checkpointing
        setting.module(setting.slots()).sin().sum().backward()
        return [p.grad for p in setting.module.parameters() if p.grad is not None]

    stored, recomputed = gradients(False), gradients(True)
    assert len(stored) == len(list(part.build(layout).parameters()))
    assert all(torch.equal(a, b) for a, b in zip(stored, recomputed, strict=True))


@over_layouts
def test_runs_in_bfloat16(part: Backbone, layout: Layout) -> None:
    """Near what float64 says, with a cache of its own type."""
    setting = Setting(part, layout)
    exact = setting.module(setting.slots())
    setting.module.to(torch.bfloat16)
    for name in ("x", "vector", "heard"):
        setattr(setting, name, getattr(setting, name).to(torch.bfloat16))
    rough = setting.module(setting.slots(), setting.module.cache(BATCH, LENGTH, setting.x))
    assert rough.dtype == torch.bfloat16
    assert (rough.double() - exact).abs().max() < 0.1  # outputs are normalised to size 1; 8 bits of mantissa
