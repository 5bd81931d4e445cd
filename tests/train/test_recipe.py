"""Learning rates, decays and refusals of a recipe."""

from __future__ import annotations

from typing import Any

import pytest

from nextset import UsageError
from nextset.train import Recipe


def test_cosine_rises_linearly_then_falls_to_its_end() -> None:
    recipe = Recipe(steps=110, lr=1.0, warmup=10, final=0.1)
    assert [recipe.rate(step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert recipe.rate(10) == pytest.approx(1.0)
    assert recipe.rate(60) == pytest.approx(0.55)
    assert recipe.rate(110) == pytest.approx(0.1)


def test_constant_stays() -> None:
    recipe = Recipe(steps=100, lr=0.5, warmup=2, schedule="constant")
    assert {recipe.rate(step) for step in range(2, 100)} == {0.5}


def test_the_average_forgets_the_initial_weights() -> None:
    recipe = Recipe(ema=0.999)
    assert recipe.decay(0) == pytest.approx(0.1)
    assert recipe.decay(10**6) == 0.999


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"steps": 0}, "steps"),
        ({"lr": float("nan")}, "lr"),
        ({"batch": 6, "accumulate": 4}, "accumulate"),
        ({"ema": 1.0}, "ema"),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Recipe(**wrong)
