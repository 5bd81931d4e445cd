"""The Inception Score where it is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nextset.errors import NextsetError, UsageError
from nextset.evaluate.score import InceptionScore


def score(logits: Tensor, part: int = 5000) -> InceptionScore:
    found = InceptionScore(logits.shape[1], part)
    for batch in logits.split(7):
        found.add(batch)
    return found


def test_pictures_that_say_nothing_score_one() -> None:
    assert score(torch.zeros(50, 9)).mean == pytest.approx(1.0, abs=1e-12)
    assert score(torch.randn(9).expand(50, 9)).mean == pytest.approx(1.0, abs=1e-12)  # sure, but all the same


def test_sure_and_balanced_pictures_score_the_number_of_classes() -> None:
    logits = torch.eye(10).repeat(5, 1) * 100
    assert score(logits).mean == pytest.approx(10.0, abs=1e-9)


def test_parts_are_scored_one_by_one_in_order(generator: torch.Generator) -> None:
    """exp of the mean divergence in parts, then the mean: ADM's evaluator, written out."""
    logits = torch.randn(23, 6, generator=generator) * 3
    p = logits.double().softmax(1).numpy()
    expected = []
    for start in range(0, 23, 10):
        part = p[start : start + 10]
        expected.append(np.exp((part * (np.log(part) - np.log(part.mean(0)))).sum(1).mean()))
    found = score(logits, part=10)
    assert found.scores == pytest.approx(expected, rel=1e-12)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert found.error == pytest.approx(np.std(expected, ddof=1) / math.sqrt(3), rel=1e-12)
    assert score(logits).error is None


def test_pictures_sorted_by_class_score_less_in_parts() -> None:
    """The trap that the module's text names."""
    assert score(torch.eye(10).repeat_interleave(5, 0) * 100, part=5).mean == pytest.approx(1.0, abs=1e-9)


def test_a_class_that_is_out_of_reach_is_no_nan() -> None:
    logits = torch.tensor([[0.0, -2000.0], [0.0, -2000.0]])  # its probability is 0 in float64
    assert score(logits).mean == 1.0


def test_misfits_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(B, 4\), got \(2, 3\)"):
        InceptionScore(4).add(torch.zeros(2, 3))
    with pytest.raises(NextsetError, match="not finite"):
        InceptionScore(3).add(torch.full((2, 3), torch.nan))
    with pytest.raises(UsageError, match="at least one picture"):
        _ = InceptionScore(3).mean
