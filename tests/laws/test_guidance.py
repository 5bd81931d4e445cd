"""Every schedule of guidance scales."""

from __future__ import annotations

import math

import pytest

from nextset.decode import Guidance

from .parts import STEPS, toys

over_schedules = pytest.mark.parametrize("schedule", toys(Guidance), ids=str)


@over_schedules
def test_one_finite_scale_a_step(schedule: Guidance) -> None:
    for sizes in (*STEPS, (1,) * 256):
        scales = schedule.scales(sizes)
        assert len(scales) == len(sizes)
        assert all(math.isfinite(scale) for scale in scales)


@over_schedules
def test_scale_1_is_unguided_throughout(schedule: Guidance) -> None:
    """The engine skips the unguided half where the scale is exactly 1."""
    flat = type(schedule)(scale=1.0)  # type: ignore[call-arg]
    for sizes in STEPS:
        assert flat.scales(sizes) == (1.0,) * len(sizes)


@over_schedules
def test_scales_follow_what_is_known(schedule: Guidance) -> None:
    """`scales` asks `at` for every step with the sites known before it."""
    sizes = (1, 4, 9)
    assert schedule.scales(sizes) == tuple(
        schedule.at(step, 3, done, 14, sizes[step]) for step, done in enumerate((0, 1, 5))
    )
