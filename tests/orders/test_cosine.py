"""Cosine sets: the published schedule, and edits that start with what is given."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from nextset.errors import UsageError
from nextset.layout import grid, line
from nextset.noise import Noise
from nextset.orders import Cosine
from nextset.orders.cosine import unmasked_sizes


def test_the_published_schedule() -> None:
    """MAR's 256 sites in 8 steps, in 64 and one at a time."""
    assert list(itertools.accumulate(unmasked_sizes(256, 8))) == [5, 20, 44, 75, 114, 159, 207, 256]
    assert unmasked_sizes(256, 64)[:13] == (1,) * 13
    assert max(unmasked_sizes(256, 64)) == 7
    assert unmasked_sizes(256, 256) == (1,) * 256


@pytest.mark.parametrize(("sites", "steps"), [(1, 1), (7, 3), (16, 16), (49, 20), (256, 100)])
def test_as_many_stay_unknown_as_the_cosine_says(sites: int, steps: int) -> None:
    """Never more; fewer only where a step must take at least one, and one more where something must be left."""
    done = 0
    for step, size in enumerate(unmasked_sizes(sites, steps)[:-1]):
        done += size
        assert size >= 1
        assert sites - done <= max(1, math.floor(sites * math.cos(math.pi / 2 * (step + 1) / steps)))
    assert sum(unmasked_sizes(sites, steps)) == sites
    assert len(unmasked_sizes(sites, steps)) <= steps


@pytest.mark.parametrize("steps", [0, -1, 5])
def test_impossible_steps_are_refused(steps: int) -> None:
    with pytest.raises(UsageError, match="steps"):
        Cosine(steps).sizes(line(4))


def test_edits_start_with_what_is_given() -> None:
    order, given = Cosine(3), torch.rand(4, 9) < 0.5
    plan = order.plan(grid(3, 3), Noise(0, range(4)))
    first = order.given_first(plan, given)
    ranks = first.to_ranks(given)
    assert first.sizes == plan.sizes
    for row, known, before, after in zip(ranks, given, plan.perm.tolist(), first.perm.tolist(), strict=True):
        assert row.tolist() == [True] * int(known.sum()) + [False] * int((~known).sum())
        assert [s for s in before if known[s]] + [s for s in before if not known[s]] == after
