"""Positions of pyramids: a map against its closed form at any side, a table that knows its own sites only."""

from __future__ import annotations

import math

import pytest
import torch

from nextset import UsageError
from nextset.layout import pyramid
from nextset.nn.places import ResizedMap, SiteTable


def test_the_map_starts_as_sines_and_cosines() -> None:
    module = ResizedMap(4).build(6, pyramid(1, 4))
    for i, j, m in ((0, 0, 0), (3, 1, 1), (2, 3, 2)):
        omega = 10000 ** (-2 * m / 6)
        assert module.map[2 * m, i, j].item() == pytest.approx(math.sin(i * omega), abs=1e-6)
        assert module.map[2 * m + 1, i, j].item() == pytest.approx(math.cos(j * omega), abs=1e-6)


def test_the_map_fits_every_side() -> None:
    """The mean at side 1, itself at its own side, site by site; scales one by one as together, on layouts never seen."""
    module = ResizedMap(4).build(6, pyramid(1, 4))
    layout = pyramid(1, 2, 4)
    together = module(layout, range(3))
    assert torch.allclose(together[0], module.map.mean((1, 2)))
    assert torch.allclose(together[1], module.map[:, :2, :2].mean((1, 2)))
    assert torch.allclose(together[5:], module.map.flatten(1).T)
    assert torch.allclose(together, torch.cat([module(layout, range(k, k + 1)) for k in range(3)]))


def test_the_table_knows_its_own_sites() -> None:
    layout = pyramid(1, 2)
    module = SiteTable().build(4, layout)
    assert module.block.tolist() == [0, 1, 1, 1, 1]
    assert torch.equal(module(layout, range(1, 2)), module.sites[1:] + module.levels.weight[1])
    with pytest.raises(UsageError, match="ResizedMap fits every pyramid"):
        module(pyramid(1, 3), range(2))


def test_bad_specs() -> None:
    with pytest.raises(UsageError, match="side"):
        ResizedMap(0)
    with pytest.raises(UsageError, match="even"):
        ResizedMap().build(5, pyramid(1))
