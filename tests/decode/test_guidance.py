"""Guidance schedules against their closed forms, and scales by name."""

from __future__ import annotations

import math

import pytest
import torch

from nextset import UsageError, catalogue
from nextset.decode import Clipped, Constant, CosineRamp, Guidance, Inside, Interval, Linear, PowerCosine, Ramp
from nextset.decode.guidance import SCHEDULES, from_extra, guidance
from tests.laws.toys import conditions, lively

SIZES = (1, 4, 9, 2)
DONE = (0, 1, 5, 14)
SITES = 16


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(2.5), [2.5] * 4),
        (Linear(4.0), [1.0, 2.0, 3.0, 4.0]),
        (Linear(1.0, 4.0), [4.0, 3.0, 2.0, 1.0]),
        (PowerCosine(5.0), [1 + 2 * (1 - math.cos(math.pi * d / SITES)) for d in DONE]),
        (PowerCosine(5.0, 2.0), [1 + 2 * (1 - math.cos(math.pi * (d / SITES) ** 2)) for d in DONE]),
        (Ramp(5.0), [1.0, 2.0, 3.0, 4.0]),
        (CosineRamp(5.0, 2.0), [1 + 2 * (1 - math.cos(math.pi * (k / 4) ** 2)) for k in range(4)]),
        (Interval(3.0, 1, 14), [1.0, 3.0, 3.0, 1.0]),
        (Interval(3.0), [3.0] * 4),
        (Inside(2.5), [2.5] * 4),
        (Clipped(4.0), [1.0, 2.0, 3.0, 4.0]),
        (Clipped(4.0, steps=3), [1.0, 2.5, 4.0, 5.5]),
        (Clipped(4.0, largest=4), [1.0, 2.0, 4.0, 4.0]),
    ],
    ids=str,
)
def test_closed_forms(schedule: Guidance, expected: list[float]) -> None:
    assert schedule.scales(SIZES) == pytest.approx(expected)


def test_one_step_is_its_first() -> None:
    assert Linear(4.0).scales((16,)) == (1.0,)
    assert PowerCosine(4.0).scales((16,)) == (1.0,)


def test_power_cosine_rises_from_nothing_to_all() -> None:
    """1 at the first token, the whole scale when everything is known, and later for a larger power."""
    scales = PowerCosine(5.0, 1.5).scales((1,) * 256)
    assert scales[0] == 1
    assert list(scales) == sorted(scales)
    assert PowerCosine(5.0, 1.5).at(0, 1, 256, 256, 1) == pytest.approx(5.0)
    assert PowerCosine(5.0, 3.0).at(0, 1, 128, 256, 1) < PowerCosine(5.0, 1.0).at(0, 1, 128, 256, 1)


def test_by_name() -> None:
    assert guidance(2) == Constant(2.0)
    assert guidance(3.0, "linear") == Linear(3.0)
    assert guidance(3.0, "power-cosine") == PowerCosine(3.0)
    assert guidance(Interval(2.0)) == Interval(2.0)
    assert all(isinstance(guidance(2.0, name), Guidance) for name in SCHEDULES)


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf])
def test_scales_are_finite(scale: float) -> None:
    with pytest.raises(UsageError, match="guidance must be a finite number"):
        guidance(scale)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(
        UsageError, match="constant, linear, proportional, power-cosine, ramp, cosine-ramp, got 'cosine'"
    ):
        guidance(2.0, "cosine")


def test_the_other_convention() -> None:
    """(1 + t) c - t u is u + (1 + t)(c - u)."""
    c, u, t = 0.7, -0.3, 1.5
    assert (1 + t) * c - t * u == pytest.approx(u + from_extra(t) * (c - u))


def test_inside_guides_where_it_says() -> None:
    """Scale 1 is unguided, and it matters after which block the halves meet."""
    model = lively(catalogue.spec("infinity/tiny"))
    condition = conditions(model, 4)
    drawn = [model.generate(condition, guidance=how) for how in (Inside(3.0, -1), Inside(3.0, -2), 1.0)]
    assert torch.equal(model.generate(condition, guidance=Inside(1.0, -2)), drawn[2])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize(("name", "block"), [("infinity", -3), ("llamagen", -1), ("maskgit", -1)])
def test_inside_what_cannot_be_guided(name: str, block: int) -> None:
    """Beyond the first block, in backbones without seams, and under orders that choose while they decode."""
    model = lively(catalogue.spec(f"{name}/tiny"))
    with pytest.raises(UsageError, match="blocks can be guided"):
        model.generate(conditions(model, 1), guidance=Inside(2.0, block))


def test_inside_counts_from_the_end() -> None:
    with pytest.raises(UsageError, match="from the end"):
        Inside(2.0, 0)
