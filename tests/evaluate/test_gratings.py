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


def test_nothing_is_wrong_with_themselves(gratings: Gratings) -> None:
    assert gratings.pictures.shape == (32, 3, 48, 64)
    assert max(gratings.errors(gratings.pictures).values()) < 1e-12


@pytest.mark.parametrize(("factor", "error"), [(0.5, 0.5), (1.3, 0.3), (0.0, 1.0), (-1.0, 2.0)])
def test_too_little_contrast_too_much_and_inverted(gratings: Gratings, factor: float, error: float) -> None:
    found = gratings.errors(gratings.pictures * factor)
    assert list(found.values()) == pytest.approx([error] * 4, abs=0.01)  # 8-bit rounding of amplitudes of 95


def test_a_shift_is_an_error_of_phase() -> None:
    """A quarter of the longest period, along x: |1 - i|."""
    gratings = Gratings((48, 48), 1)
    moved = gratings.pictures.roll(4, -1)
    error = (1 - gratings._waves(moved) / gratings._waves(gratings.pictures)).abs()
    assert error.view(len(PERIODS), -1)[0, 0].item() == pytest.approx(2**0.5, abs=0.01)


def test_a_box_filter_leaves_what_its_transform_says() -> None:
    """An average over 3 pixels along x multiplies a wave of frequency f along x by (1 + 2 cos 2 pi f) / 3."""
    gratings = Gratings((48, 48), 1)  # whole periods along x
    blurred = F.avg_pool2d(F.pad(gratings.pictures, (1, 1, 0, 0), mode="circular"), (1, 3), 1)
    left = gratings._waves(blurred) / gratings._waves(gratings.pictures)
    for period, share in zip(PERIODS, left.view(len(PERIODS), -1)[:, 0].tolist(), strict=True):  # angle 0: along x
        assert abs(share - (1 + 2 * math.cos(2 * math.pi / period)) / 3) < 0.01


def test_misfits_are_refused(gratings: Gratings) -> None:
    with pytest.raises(UsageError, match="at least 32 pixels a side, got 8x64"):
        Gratings((8, 64), 1)
    with pytest.raises(UsageError, match="others must be"):
        gratings.errors(torch.zeros(1, 3, 48, 64))
