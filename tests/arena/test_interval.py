"""Intervals against scipy's distribution, and what few values say."""

from __future__ import annotations

import pytest

from nextset.arena.interval import interval, student


@pytest.mark.parametrize("freedom", range(2, 60))
def test_student(freedom: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-3)


def test_interval_of_the_mean() -> None:
    """Of 1, 2, 3: s = 1, t = 4.303."""
    found = interval([1.0, 2.0, 3.0])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.high - found.mean == found.mean - found.low == pytest.approx(4.303 / 3**0.5)


def test_few_values() -> None:
    two, one = interval([3.0, 1.0]), interval([2.0])
    assert (two.low, two.mean, two.high) == (1, 2, 3)
    assert (one.low, one.high) == (2, 2)
    assert len({two.kind, one.kind, interval([1, 1, 1]).kind}) == 3
