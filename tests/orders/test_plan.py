"""Plans: sites by rank and back, whole and in part."""

from __future__ import annotations

import pytest
import torch

from nextset import UsageError
from nextset.layout import grid, pyramid
from nextset.noise import Noise
from nextset.orders import Plan, Raster

SHARED = Plan(torch.tensor([2, 0, 1]), (1, 2))
OWN = Plan(torch.tensor([[2, 0, 1], [0, 2, 1]]), (1, 2))


def test_raster_is_the_layouts_own_order() -> None:
    for layout in (grid(2, 3), pyramid(1, 2)):
        plan = Raster().plan(layout, Noise(0, range(2)))
        assert plan.perm.tolist() == list(range(layout.sites))
        assert plan.sizes == (1,) * layout.sites


def test_starts_end_with_all_sites() -> None:
    assert Plan(torch.arange(6), (1, 2, 3)).starts == (0, 1, 3, 6)


@pytest.mark.parametrize("sizes", [(1, 1), (4,), (3, 0), (4, -1)])
def test_steps_must_cut_the_sites(sizes: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="3 sites"):
        Plan(torch.arange(3), sizes)


def test_by_rank() -> None:
    by_site = torch.tensor([[10, 11, 12], [20, 21, 22]])
    assert SHARED.to_ranks(by_site).tolist() == [[12, 10, 11], [22, 20, 21]]
    assert OWN.to_ranks(by_site).tolist() == [[12, 10, 11], [20, 22, 21]]
    assert OWN.to_sites(OWN.to_ranks(by_site)).tolist() == by_site.tolist()


def test_some_ranks_of_vectors() -> None:
    """A plan of the first ranks alone reads the tokens of these sites, one order a sample too."""
    by_site = torch.arange(12).view(2, 3, 2)
    for plan in (SHARED, OWN):
        part = Plan(plan.perm[..., :2], (2,))
        assert torch.equal(part.to_ranks(by_site), plan.to_ranks(by_site)[:, :2])
