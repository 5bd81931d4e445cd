"""Rotary positions of two sites, where a product depends on both differences, each through its own half; and those of a fine map."""

from __future__ import annotations

import pytest
import torch

from nextset.errors import UsageError
from nextset.layout import grid, line, pyramid
from nextset.nn.rotary import ByOwn, ByOwnAndNext, BySpread, Rotary, rotate

LAYOUT = grid(4, 4)


def products(own: list[int], after: list[int]) -> torch.Tensor:
    """The product of one query and one key, at two sites that look at two sites."""
    tables = ByOwnAndNext().build(LAYOUT, 16, 10.0)(torch.tensor(own), torch.tensor(after))
    query, key = torch.randn(2, 16, generator=torch.Generator().manual_seed(0)).double()
    turned = [rotate(x.expand(1, 1, 2, -1), tables)[0, 0] for x in (query, key)]
    return turned[0][0] @ turned[1][1]


def test_each_half_is_the_rotation_by_one_site() -> None:
    site, target = torch.tensor([[0, 5, -1], [3, 2, 1]]), torch.tensor([[5, -1, 0], [1, 0, 2]])
    both = ByOwnAndNext().build(LAYOUT, 16, 10.0)(site, target)
    single = Rotary(LAYOUT, 8, 10.0)
    assert torch.equal(both, torch.cat([single(site), single(target)], -1))


def test_only_differences_count() -> None:
    """Both sites moved by one row and one column: the same. Another next site alone: not the same."""
    assert torch.allclose(products([0, 5], [1, 6]), products([5, 10], [6, 11]))
    assert not torch.allclose(products([0, 5], [1, 6]), products([0, 5], [1, 9]))
    assert not torch.allclose(products([0, 5], [1, 6]), products([0, 6], [1, 6]))


def test_by_own_looks_nowhere() -> None:
    site = torch.tensor([0, 5])
    tables = ByOwn().build(LAYOUT, 16, 10.0)
    assert torch.equal(tables(site, torch.tensor([1, 2])), tables(site))


def test_widths_that_cannot_be_shared_out() -> None:
    with pytest.raises(UsageError, match="head width"):
        ByOwnAndNext().build(LAYOUT, 7, 10.0)
    with pytest.raises(UsageError, match="head width"):
        ByOwnAndNext().build(LAYOUT, 12, 10.0)


def test_spread_places_coarse_sites_on_the_fine_map() -> None:
    """Row i of h lies at round(i H / h), whatever else the pyramid holds; without a fine map rows are counted."""
    layout = pyramid(1, 2, (4, 3))
    turning = BySpread(((8, 6), (4, 8)))
    spread = turning.build(layout, 8, 10.0)
    rows, columns = spread.layout.coordinates().unbind(1)
    assert rows.tolist() == [0, 0, 0, 4, 4, *(row for row in (0, 2, 4, 6) for _ in range(3))]
    assert columns.tolist() == [0, 0, 3, 0, 3, *[0, 2, 4] * 4]
    turns = spread(torch.arange(17))
    assert torch.equal(turns[3, :2], turns[5 + 6, :2])  # row 4 of both scales
    assert BySpread().build(layout, 8, 10.0).layout.coordinates()[-1].tolist() == [3, 2]


def test_the_fine_map_is_of_the_pictures_shape() -> None:
    finest = ((64, 64), (48, 80), (80, 48))
    for last, expected in (((4, 4), (64, 64)), ((3, 5), (48, 80)), ((10, 6), (80, 48))):
        found = BySpread(finest).build(pyramid(1, last), 8, 10.0).layout.coordinates()[-1]
        assert found.tolist() == [round((n - 1) * side / n) for n, side in zip(last, expected, strict=True)]
    with pytest.raises(UsageError, match="does not fit on the finest"):
        BySpread(((2, 2),)).build(pyramid(1, 4), 8, 10.0)
    with pytest.raises(UsageError, match="row and column"):
        BySpread().build(line(4), 8, 10.0)
