"""Orders of pyramids: the steps, the schedules that FlexVAR trains on, and what an edit keeps."""

from __future__ import annotations

import pytest
import torch

from nextset import UsageError
from nextset.layout import pyramid
from nextset.noise import Noise
from nextset.orders import Scales, Schedules

USUAL = pyramid(1, 2, 3, 4, 5, 6, 8, 10, 13, 16)


def test_a_step_a_block() -> None:
    plan = Scales().plan(USUAL, Noise(0, range(3)))
    assert plan.sizes == (1, 4, 9, 16, 25, 36, 64, 100, 169, 256)
    assert plan.perm.tolist() == list(range(680))
    assert plan.layout == USUAL
    assert Scales().practised(USUAL, 3) == USUAL


def drawn(order: Schedules, count: int) -> list[list[int]]:
    return [[block[0] for block in order.practised(USUAL, seed).blocks] for seed in range(count)]


def test_schedules_as_published() -> None:
    """Rising sides from 1; five of 3..10 and two of 11..15 at most; 680 sites at most; the usual ones now and then."""
    found = drawn(Schedules(), 4000)
    for sides in found:
        assert sides[0] == 1
        assert sides == sorted(set(sides))
        assert sum(side * side for side in sides) <= 680
        assert sides == [1, 2, 3, 4, 5, 6, 8, 10, 13, 16] or sum(3 <= side <= 10 for side in sides) <= 6
        assert sum(11 <= side <= 15 for side in sides) <= 2
    usual = sum(sides == [1, 2, 3, 4, 5, 6, 8, 10, 13, 16] for sides in found) / len(found)
    assert abs(usual - 0.05 * 0.9) < 0.015  # 4 deviations: not shortened, and not the like by chance
    assert len({tuple(sides) for sides in found}) > 500
    assert sum(sides[1] == 2 for sides in found) > 0.99 * len(found)  # the rule of too many sites may reach it, too
    assert any(sides[-1] != 16 for sides in found)  # the published rule may drop it, where there are too many sites


def test_shortened_schedules() -> None:
    """With probability 0.1 one inner side less at least, with 0.05 two, with 0.02 three, with 0.01 four."""
    order = Schedules(longest=0, usual=0.0)
    lengths = torch.tensor([len(sides) for sides in drawn(order, 6000)])
    for fewer, share in ((1, 0.1), (2, 0.05), (3, 0.02), (4, 0.01)):
        found = (lengths <= 10 - fewer).double().mean().item()
        assert abs(found - share) < 4 * (share / 6000) ** 0.5
    assert lengths.max() == 10
    assert all(sides[-1] == 16 for sides in drawn(order, 200))


def test_a_seed_is_a_schedule() -> None:
    assert Schedules().practised(USUAL, 5) == Schedules().practised(USUAL, 5)
    assert Schedules().varied
    assert not Scales().varied


def test_more_sides_than_there_are() -> None:
    with pytest.raises(UsageError, match="no more inner sides"):
        Schedules(inner=((3, 4, 3),))
    with pytest.raises(UsageError, match="first side"):
        Schedules(first=())


def test_what_an_edit_keeps() -> None:
    """One pixel of sixteen: its site at the last scale; at earlier ones only where more than half is redrawn."""
    region = torch.zeros(2, 4, 4, dtype=torch.bool)
    region[0, 0, 0] = True
    region[1, :, 1:] = True
    kept = Scales().kept(pyramid(1, 2, 4), region)
    assert kept[0].tolist() == [True] + [True] * 4 + [False] + [True] * 15
    assert kept[1].tolist() == [False] + [True, False] * 2 + [True, False, False, False] * 4
    assert not Scales().kept(pyramid(1, 2, 4), torch.ones(1, 4, 4, dtype=torch.bool)).any()
