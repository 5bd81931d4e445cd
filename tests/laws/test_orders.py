"""Every order, on every small layout that it takes."""

from __future__ import annotations

import pytest
import torch

from nextset.layout import Layout
from nextset.noise import Noise
from nextset.orders import Order, Schedule

from .parts import fitting, toys

CASES = [(order, layout) for order in toys(Order) for layout in fitting(order)]
over_layouts = pytest.mark.parametrize(("order", "layout"), CASES, ids=str)


@pytest.mark.parametrize("order", toys(Order), ids=str)
def test_takes_some_layout(order: Order) -> None:
    assert fitting(order)


@over_layouts
def test_partition(order: Order, layout: Layout) -> None:
    """A plan names every site of every sample once, in steps of the sizes that were known without drawing."""
    plan = order.plan(layout, Noise(3, range(4)))
    assert plan.perm.dtype == torch.int64
    assert plan.perm.shape in ((layout.sites,), (4, layout.sites))
    for row in plan.perm.reshape(-1, layout.sites):
        assert sorted(row.tolist()) == list(range(layout.sites))
    assert plan.sizes == order.sizes(layout)
    assert sum(plan.sizes) == layout.sites == plan.starts[-1]


@over_layouts
def test_seeded(order: Order, layout: Layout) -> None:
    """The same seed gives the same plan; a sample has its plan whatever else is in the batch."""
    perm = order.plan(layout, Noise(3, range(5))).perm.expand(5, -1)
    assert torch.equal(order.plan(layout, Noise(3, range(5))).perm.expand(5, -1), perm)
    assert torch.equal(order.plan(layout, Noise(3, (4, 2))).perm.expand(2, -1), perm[[4, 2]])


@over_layouts
def test_ranks_and_back(order: Order, layout: Layout) -> None:
    """Listing by rank and by site are inverse, for ids, for several codes and for latents."""
    plan = order.plan(layout, Noise(1, range(2)))
    for shape in ((), (3,)):
        by_site = torch.randn(2, layout.sites, *shape)
        by_rank = plan.to_ranks(by_site)
        assert torch.equal(plan.to_sites(by_rank), by_site)
        for sample, perm in enumerate(plan.perm.expand(2, -1)):
            assert torch.equal(by_rank[sample], by_site[sample, perm])


@pytest.mark.parametrize("schedule", toys(Schedule), ids=str)
@pytest.mark.parametrize(("sites", "steps"), [(1, 1), (4, 1), (4, 2), (64, 22), (64, 64), (7, 7), (7, 6), (256, 64)])
def test_schedules_cut_all_sites_into_about_so_many_steps(schedule: Schedule, sites: int, steps: int) -> None:
    sizes = schedule.sizes(sites, steps)
    assert sum(sizes) == sites
    assert min(sizes) >= 1
    assert steps - steps // 8 - 1 <= len(sizes) <= max(steps, 2)
