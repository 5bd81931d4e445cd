"""Regions: the walk site by site, the published step counts, what does not fit."""

from __future__ import annotations

import pytest

from nextset import UsageError
from nextset.layout import grid, video
from nextset.noise import Noise
from nextset.orders import Regions
from nextset.systems.par import SIZES


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (1, 3), (4, 1), (4, 6)])
def test_the_walk(rows: int, columns: int) -> None:
    """Raster inside a region; at each offset every region once, row by row."""
    height, width = 4, 6
    perm = Regions(rows, columns).plan(grid(height, width), Noise(0, range(1))).perm.tolist()
    tall, wide = height // rows, width // columns
    walk = [(i, j) for i in range(tall) for j in range(wide)]
    regions = [(a, b) for a in range(rows) for b in range(columns)]
    assert perm == [(a * tall + i) * width + b * wide + j for i, j in walk for a, b in regions]


@pytest.mark.parametrize(("name", "steps"), [("xl-4x", 147), ("3b-16x", 51), ("digits", 19)])
def test_published_steps(name: str, steps: int) -> None:
    system = SIZES[name]
    assert len(system.order.sizes(system.layout)) == steps


def test_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="2 x 2 regions do not cut 4 x 5 sites evenly"):
        Regions().sizes(grid(4, 5))
    with pytest.raises(UsageError, match="0 x 2 regions"):
        Regions(0).sizes(grid(4, 4))
    with pytest.raises(UsageError, match="grid"):
        Regions().sizes(video(2, 2, 2))
