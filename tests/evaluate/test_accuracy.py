"""Shares of pictures that show what was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nextset.data.crop import to_float
from nextset.data.shapes import Shapes
from nextset.errors import UsageError
from nextset.evaluate.accuracy import GradeTally, Tally, grade_shapes, share_error


def test_shares_overall_and_per_class() -> None:
    tally = Tally(4)
    predicted, asked = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 1, 0, 2, 2])
    for part in (slice(0, 2), slice(2, 5)):
        tally.add(F.one_hot(predicted[part], 4).float(), asked[part])
    assert tally.count == 5
    assert tally.accuracy == 3 / 5
    assert tally.per_class == [1 / 2, 1.0, 1 / 2, None]
    assert tally.error == pytest.approx((0.6 * 0.4 / 5) ** 0.5)


def test_the_error_is_the_deviation_of_shares(generator: torch.Generator) -> None:
    shares = (torch.rand(4000, 50, generator=generator) < 0.3).float().mean(1)
    assert share_error(0.3, 50) == pytest.approx(
        shares.std().item(), rel=0.05
    )  # 4000 draws: deviation known to about 1%


def test_aspects_that_are_not_asked_for_do_not_count() -> None:
    tally = GradeTally(
        lambda pixels, captions: {"count": [1.0, 0.0], "relation": [math.nan, 1.0], "size": [math.nan] * 2}
    )
    for _ in range(2):
        tally.add(torch.zeros(2, 3, 4, 4), ["one", "two"])
    found = tally.figures()
    assert {name: figure.value for name, figure in found.items()} == {"grade/count": 0.5, "grade/relation": 1.0}
    assert found["grade/count"].error == 0.25  # sqrt(0.5 0.5 / 4)


def test_shapes_follow_their_own_captions_and_not_those_of_others() -> None:
    stack = Shapes("test", count=40).stack(np.arange(40))
    right, wrong = GradeTally(grade_shapes), GradeTally(grade_shapes)
    right.add(to_float(stack.images), stack.captions)
    wrong.add(to_float(stack.images), [*stack.captions[1:], stack.captions[0]])
    assert right.figures()["grade/all"].value == 1.0
    assert wrong.figures()["grade/all"].value < 0.2


def test_misfits_are_refused() -> None:
    with pytest.raises(UsageError, match=r"labels must be in 0\.\.2, got 0 to 3"):
        Tally(3).add(torch.zeros(2, 3), torch.tensor([0, 3]))
    with pytest.raises(UsageError, match="logits"):
        Tally(3).add(torch.zeros(2, 4), torch.tensor([0, 1]))
