"""Sites of one sample, and the parts of a picture that they cover."""

from __future__ import annotations

import pytest
import torch

from nextset import Layout, Tokens, UsageError
from nextset.layout import Continuous, Discrete, grid, line, pyramid, video


def test_coordinates() -> None:
    assert grid(2, 3).coordinates().tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert line(3).coordinates().tolist() == [[0], [1], [2]]
    assert pyramid(1, 2).coordinates().tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
    assert video(2, 1, 2).coordinates().tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]]


def test_sites_and_shapes() -> None:
    assert (grid(2, 3).sites, line(3).sites, pyramid(1, 2, 3).sites, video(2, 1, 2).sites) == (6, 3, 14, 4)
    assert grid(2, 3).shape == (2, 3)
    with pytest.raises(UsageError, match="2 blocks"):
        _ = pyramid(1, 2).shape


@pytest.mark.parametrize("sizes", [(0, 2), (2, -1)])
def test_empty_layouts_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        grid(*sizes)
    with pytest.raises(UsageError, match="at least 1"):
        Layout(("y", "x"), ())


def test_touched_sites() -> None:
    """One pixel touches the site that covers it, at every scale and in every frame."""
    region = torch.zeros(2, 8, 8, dtype=torch.bool)
    region[0, 5, 2] = True
    expected = [[False, False, True, False], [False] * 4]
    assert grid(2, 2).touched(region).tolist() == expected
    assert pyramid(1, 2).touched(region).tolist() == [[True, *expected[0]], [False] * 5]
    assert video(2, 2, 2).touched(region).tolist() == [row * 2 for row in expected]


def test_touched_where_sites_do_not_divide_the_picture() -> None:
    """A pixel on the border of two sites touches both; none is missed."""
    for x in range(5):
        region = torch.zeros(1, 5, 5, dtype=torch.bool)
        region[0, 0, x] = True
        assert grid(2, 2).touched(region)[0, :2].any()


def test_sites_without_a_place_cannot_be_kept() -> None:
    with pytest.raises(UsageError, match="no place"):
        line(4).touched(torch.ones(1, 8, 8, dtype=torch.bool))


def test_painted_is_what_known_sites_cover() -> None:
    known = torch.tensor([[True, False, False, True]])
    painted = grid(2, 2).painted(known, (4, 4))
    assert painted[0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    coarse = pyramid(1, 2).painted(torch.tensor([[True, True, False, False, True]]), (4, 4))
    assert torch.equal(coarse, painted)  # the finest scale decides
    assert line(2).painted(torch.tensor([[True, True]]), (4, 4)).all()


def test_tokens_fit_their_layout() -> None:
    assert len(Tokens(torch.zeros(3, 6, dtype=torch.int64), grid(2, 3))) == 3
    Tokens(torch.zeros(3, 6, 2, dtype=torch.int64), grid(2, 3))
    Tokens(torch.zeros(3, 6, 4), grid(2, 3))
    for wrong in (torch.zeros(3, 5, dtype=torch.int64), torch.zeros(6, dtype=torch.int64), torch.zeros(3, 2, 3, 1)):
        with pytest.raises(UsageError, match="layout of 6 sites"):
            Tokens(wrong, grid(2, 3))
    with pytest.raises(UsageError, match="channel"):
        Tokens(torch.zeros(3, 6), grid(2, 3))


def test_units_are_data() -> None:
    assert Discrete(5) == Discrete(5, 1) != Discrete(5, 2)
    assert Continuous(4) != Discrete(4)
