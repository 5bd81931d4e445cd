"""Cells and subsamples of a grid."""

from __future__ import annotations

import pytest
import torch

from nextset import UsageError
from nextset.layout import Layout, grid, line, pyramid
from nextset.noise import Noise
from nextset.orders import Cells, Order, Raster, Subsamples


def perm(order: Order, layout: Layout) -> list[int]:
    return order.plan(layout, Noise(0, range(1))).perm.tolist()


def test_cells_are_rows_of_rectangles() -> None:
    assert perm(Cells(2, 2), grid(2, 4)) == [0, 1, 4, 5, 2, 3, 6, 7]
    assert Cells(2, 2).sizes(grid(2, 4)) == (4, 4)
    assert perm(Cells(1, 2), grid(2, 4)) == list(range(8))


def test_subsamples_start_from_every_corner() -> None:
    assert perm(Subsamples(2, 2), grid(2, 4)) == [0, 2, 1, 3, 4, 6, 5, 7]
    assert Subsamples(2, 2).sizes(grid(2, 4)) == (2, 2, 2, 2)


@pytest.mark.parametrize("order", [Cells(1, 1), Subsamples(3, 4)])
def test_single_sites_are_the_raster(order: Order) -> None:
    layout = grid(3, 4)
    assert order.sizes(layout) == Raster().sizes(layout)
    assert torch.equal(order.plan(layout, Noise(0, range(1))).perm, Raster().plan(layout, Noise(0, range(1))).perm)


@pytest.mark.parametrize("order", [Cells(3, 4), Subsamples(1, 1)])
def test_one_step_is_the_image(order: Order) -> None:
    assert order.sizes(grid(3, 4)) == (12,)


@pytest.mark.parametrize("order", [Cells(2, 2), Subsamples(2, 2)])
@pytest.mark.parametrize("layout", [grid(3, 4), line(4), pyramid(1, 2)])
def test_what_does_not_fit_is_refused(order: Order, layout: Layout) -> None:
    with pytest.raises(UsageError, match="divide"):
        order.sizes(layout)


def test_empty_cells_are_refused() -> None:
    for make in (lambda: Cells(0, 1), lambda: Subsamples(1, 0)):
        with pytest.raises(UsageError, match="at least 1"):
            make()
