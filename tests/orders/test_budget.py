"""Budgets of network calls: the dynamic program against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nextset import UsageError
from nextset.layout import grid
from nextset.orders import Budget
from nextset.orders.budget import even, policy, price

COSTS = np.sort(np.random.default_rng(3).uniform(0.5, 3.0, 12))[::-1]


def every(sites: int, calls: int) -> list[tuple[int, ...]]:
    """All ways to cut `sites` into `calls` steps."""
    cuts = itertools.combinations(range(1, sites), calls - 1)
    return [tuple(b - a for a, b in itertools.pairwise((0, *cut, sites))) for cut in cuts]


@pytest.mark.parametrize("calls", range(1, 13))
def test_no_steps_are_cheaper(calls: int) -> None:
    found = policy(COSTS, calls)
    assert (len(found), sum(found)) == (calls, 12)
    assert price(COSTS, found) == pytest.approx(min(price(COSTS, sizes) for sizes in every(12, calls)))


def test_more_calls_never_cost_more() -> None:
    """And with a call for every site it is the likelihood itself."""
    prices = [price(COSTS, policy(COSTS, calls)) for calls in range(1, 13)]
    assert prices == sorted(prices, reverse=True)
    assert prices[-1] == pytest.approx(COSTS.sum())
    assert prices[0] == pytest.approx(12 * COSTS[0])


def test_noise_in_the_measured_costs_is_not_exploited() -> None:
    """A dip that cannot be is no reason to take a long step there."""
    noisy = COSTS.copy()
    noisy[[2, 9]] = noisy[[9, 2]]
    assert policy(noisy, 5) == policy(COSTS, 5)


def test_even_steps() -> None:
    assert even(8, 4) == (2, 2, 2, 2)
    assert (len(even(64, 10)), sum(even(64, 10)), max(even(64, 10)) - min(even(64, 10))) == (10, 64, 1)


@pytest.mark.parametrize("cut", [(), (1, 2), (4, 0), (5, -1)])
def test_what_is_no_cut_is_refused(cut: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="cut must be"):
        Budget(cut).sizes(grid(2, 2))


@pytest.mark.parametrize("calls", [0, 13])
def test_calls_are_1_to_sites(calls: int) -> None:
    with pytest.raises(UsageError, match="calls must be 1 to 12"):
        policy(COSTS, calls)
