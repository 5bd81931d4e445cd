"""Equal budgets: parameters are met within 10%, and the arithmetic of training is counted, not guessed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nextset import UsageError, catalogue
from nextset.arena import fitted, training_cost
from nextset.arena.budget import TOLERANCE, _depth, parameters, resized

DIGITS = [name for name in catalogue.names() if "digits" in catalogue.sizes(name)]


@pytest.mark.parametrize("name", DIGITS)
def test_every_digits_size_fits_a_budget(name: str) -> None:
    """Only width and depth change, and the parts still fit."""
    system = catalogue.spec(f"{name}/digits")
    found = fitted(system, 450_000)
    assert abs(parameters(found) / 450_000 - 1) <= TOLERANCE
    same = resized(found.backbone, system.backbone.width, _depth(system.backbone))
    assert replace(found, backbone=same) == system


def test_no_width_does_for_nothing() -> None:
    with pytest.raises(UsageError, match="no width"):
        fitted(catalogue.spec("llamagen/digits"), 100)


def test_cost_is_three_forward_passes() -> None:
    """Of a dense network: one forward, and one for each side's gradient, but for the first matrix, which needs no input's."""
    system = catalogue.spec("llamagen/tiny")
    slots, dim, depth = system.layout.sites, 16, 2
    hidden, vocab = 48, 5
    linear = slots * (depth * (4 * dim * dim + 3 * dim * hidden) + dim * vocab)
    attention = depth * 2 * slots * slots * dim
    assert training_cost(system) == pytest.approx(3 * (linear + attention))
