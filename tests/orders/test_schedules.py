"""Schedules: published sizes, and what a curve promises."""

from __future__ import annotations

import itertools
import math

import pytest

from nextset.nn.masking import Cosine
from nextset.orders import Falling


def unmasked_sizes(sites: int, steps: int) -> tuple[int, ...]:
    return Falling(Cosine()).sizes(sites, steps)


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
