"""Diagonal order: the zig-zag of JPEG on a square, and small steps on any grid."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from nextset import UsageError
from nextset.layout import Layout, grid, line, pyramid, video
from nextset.noise import Noise
from nextset.orders import Diagonal, Raster

JPEG = """
 0  1  5  6 14 15 27 28
 2  4  7 13 16 26 29 42
 3  8 12 17 25 30 41 43
 9 11 18 24 31 40 44 53
10 19 23 32 39 45 52 54
20 22 33 38 46 51 55 60
21 34 37 47 50 56 59 61
35 36 48 49 57 58 62 63
"""


def walk(layout: Layout) -> torch.Tensor:
    return Diagonal().plan(layout, Noise(0, range(1))).perm


def test_is_the_walk_of_jpeg() -> None:
    """The table of the standard (ITU-T T.81, figure A.6)."""
    assert walk(grid(8, 8)).argsort().tolist() == [int(word) for word in JPEG.split()]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2), (2, 7), (7, 3), (5, 5), (16, 16), (9, 20)], ids=str)
def test_no_step_is_longer_than_a_diagonal_one(shape: tuple[int, int]) -> None:
    """Along diagonals that come in order, to a neighbour each time; a raster jumps back over the width."""
    places = grid(*shape).coordinates()[walk(grid(*shape))]
    assert places.sum(1).diff().ge(0).all()
    if len(places) > 1:
        assert places.diff(dim=0).square().sum(1).max() <= 2
    raster = grid(*shape).coordinates()[Raster().plan(grid(*shape), Noise(0, range(1))).perm]
    if shape[0] > 1:
        jumps = raster.diff(dim=0).double().norm(dim=1)
        assert jumps.max().item() == pytest.approx(math.hypot(1, shape[1] - 1))


def test_four_moves_are_made() -> None:
    """Right and down at the border, up-right and down-left inside; one move of length 1 after each diagonal."""
    places = grid(16, 16).coordinates()[walk(grid(16, 16))].tolist()
    moves = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(places)]
    assert set(moves) == {(0, 1), (1, 0), (-1, 1), (1, -1)}
    assert sum(abs(row) + abs(column) == 1 for row, column in moves) == 30


@pytest.mark.parametrize("layout", [line(4), video(2, 2, 2), pyramid(1, 2)], ids=str)
def test_grids_only(layout: Layout) -> None:
    with pytest.raises(UsageError, match="Diagonal walks over a grid"):
        Diagonal().sizes(layout)
