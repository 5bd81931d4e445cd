"""Random orders: the schedule of steps, and edits that start with what is given."""

from __future__ import annotations

import warnings

import pytest
import torch

import nextset
from nextset import UsageError
from nextset.layout import grid
from nextset.nn.masking import Arccos, Cosine
from nextset.noise import Noise
from nextset.orders import Falling, Random
from nextset.orders.schedules import cosine_sizes

from ..laws.toys import lively


def test_the_published_schedule() -> None:
    """88 steps for 256 sites: 24 of one site, then more and more, 5 and 4 at the end (RandAR's released setting)."""
    sizes = cosine_sizes(256, 88)
    assert (len(sizes), sum(sizes)) == (88, 256)
    assert sizes[:25] == (1,) * 24 + (2,)
    assert sizes[-2:] == (5, 4)


@pytest.mark.parametrize(("sites", "steps"), [(1, 1), (4, 1), (4, 2), (64, 22), (64, 64), (7, 7)])
def test_steps_take_all_sites_and_at_least_one_each(sites: int, steps: int) -> None:
    sizes = cosine_sizes(sites, steps)
    assert sum(sizes) == sites
    assert min(sizes) == sizes[0] == 1
    assert len(sizes) <= max(steps, 2)


def test_training_goes_one_site_a_step() -> None:
    assert Random(3).trained().sizes(grid(2, 2)) == (1, 1, 1, 1)


def test_too_many_steps_are_refused() -> None:
    with pytest.raises(UsageError, match=r"steps must be 0 .* to 4, got 5"):
        Random(5).sizes(grid(2, 2))


def test_given_sites_come_first_in_their_random_order() -> None:
    order, layout = Random(), grid(3, 3)
    plan = order.plan(layout, Noise(0, range(4)))
    given = torch.rand(4, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    moved = order.given_first(plan, given)
    for before, after, held in zip(plan.perm, moved.perm, given, strict=True):
        expected = [int(s) for s in before if held[s]] + [int(s) for s in before if not held[s]]
        assert after.tolist() == expected


def test_edits_know_everything_that_is_given() -> None:
    """No warning that a kept site comes late, whatever the mask, and the kept part is exact."""
    model = lively(nextset.spec("randar/tiny"))
    images = model.generate([0, 1], seed=0)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[:2] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edited = model.edit(images, mask, [0, 1], seed=3)
    assert torch.equal(edited[..., 2:, :], images[..., 2:, :])
    assert not torch.equal(edited, images)


def test_arpgs_schedules() -> None:
    """64 steps for 256 sites: on the cosine 13 of one site and at most 6; on the arccos 2 or 3 each until a burst at the end."""
    cosine, arccos = Falling(Cosine()).sizes(256, 64), Falling(Arccos()).sizes(256, 64)
    assert cosine[:15] == (1,) * 13 + (2, 3)
    assert (max(cosine), cosine[-1], len(cosine), sum(cosine)) == (7, 6, 64, 256)
    assert arccos[:4] == (3, 3, 2, 3)
    assert arccos[-3:] == (10, 12, 28)
    assert (len(arccos), sum(arccos)) == (64, 256)
