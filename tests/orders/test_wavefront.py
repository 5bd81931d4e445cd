"""Wavefronts: distance by distance, each from its top row down."""

from __future__ import annotations

import itertools

import pytest

from nextset.layout import Layout, grid, line, video
from nextset.noise import Noise
from nextset.orders import Wavefront


@pytest.mark.parametrize("layout", [grid(4, 4), grid(2, 5), grid(5, 2), line(3), video(2, 3, 2)], ids=str)
def test_nearest_first(layout: Layout) -> None:
    plan = Wavefront().plan(layout, Noise(0, range(1)))
    places = [tuple(layout.coordinates()[site].tolist()) for site in plan.perm]
    assert places == sorted(places, key=lambda place: (sum(place), place))
    steps = [{sum(place) for place in places[a:b]} for a, b in itertools.pairwise(plan.starts)]
    assert steps == [{distance} for distance in range(sum(layout.shape) - len(layout.shape) + 1)]
