"""Gratings: what a known filter leaves of them."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from nextset.errors import UsageError
from nextset.evaluate.gratings import PERIODS, Gratings


@pytest.fixture(scope="module")
def gratings() -> Gratings:
    return Gratings((48, 64), 3)


def test_nothing_is_lost_of_themselves(gratings: Gratings) -> None:
    assert gratings.pictures.shape == (32, 3, 48, 64)
    assert gratings.contrast(gratings.pictures) == dict.fromkeys(PERIODS, 1.0)


def test_paler_gratings(gratings: Gratings) -> None:
    left = gratings.contrast(gratings.pictures * 0.5)
    assert list(left.values()) == pytest.approx([0.5] * 4, abs=0.01)  # 8-bit rounding of amplitudes of 48
    assert list(gratings.contrast(gratings.pictures * 0).values()) == [0.0] * 4


def test_a_box_filter_leaves_what_its_transform_says() -> None:
    """An average over 3 pixels along x multiplies a wave of frequency f along x by (1 + 2 cos 2 pi f) / 3."""
    gratings = Gratings((48, 48), 1)  # whole periods along x
    blurred = F.avg_pool2d(F.pad(gratings.pictures, (1, 1, 0, 0), mode="circular"), (1, 3), 1)
    left = gratings._amplitude(blurred) / gratings._amplitude(gratings.pictures)
    for period, share in zip(PERIODS, left.view(len(PERIODS), -1)[:, 0].tolist(), strict=True):  # angle 0: along x
        assert share == pytest.approx((1 + 2 * math.cos(2 * math.pi / period)) / 3, abs=0.01)


def test_misfits_are_refused(gratings: Gratings) -> None:
    with pytest.raises(UsageError, match="at least 32 pixels a side, got 8x64"):
        Gratings((8, 64), 1)
    with pytest.raises(UsageError, match="others must be"):
        gratings.contrast(torch.zeros(1, 3, 48, 64))
