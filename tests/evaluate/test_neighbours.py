"""Precision and recall on sets whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nextset.errors import UsageError
from nextset.evaluate.neighbours import precision_recall, radii


def cloud(generator: torch.Generator, centre: float, count: int = 200) -> Tensor:
    return torch.randn(count, 2, generator=generator) + centre


def test_disjoint_sets(generator: torch.Generator) -> None:
    assert precision_recall(cloud(generator, 0), cloud(generator, 100)) == (0.0, 0.0)


def test_equal_sets(generator: torch.Generator) -> None:
    x = cloud(generator, 1e3)  # far from the origin: rounding must not push points out of their own balls
    assert precision_recall(x, x.flip(0)) == (1.0, 1.0)
    copies = torch.ones(10, 4)  # all radii are 0
    assert precision_recall(copies, copies) == (1.0, 1.0)


def test_duplicates_lie_in_their_own_balls(generator: torch.Generator) -> None:
    x = (torch.randn(50, 64, generator=generator) * 1e3).repeat(2, 1)  # pairs: radii are 0 but for rounding
    assert precision_recall(x, x.flip(0), k=1, chunk=7) == (1.0, 1.0)


def test_a_dropped_mode_costs_recall(generator: torch.Generator) -> None:
    real = torch.cat([cloud(generator, 0), cloud(generator, 50)])
    precision, recall = precision_recall(real, cloud(generator, 0))
    assert precision > 0.9  # of 200 normal points some fall outside the 200 others' balls
    assert 0.4 < recall <= 0.5  # the second cloud is half of the real set, and none of it is reached


def test_outliers_cost_precision(generator: torch.Generator) -> None:
    real = cloud(generator, 0)
    far = torch.arange(100.0)[:, None] * 1e4 + 1e6
    samples = torch.cat([real, far.expand(-1, 2)])
    precision, recall = precision_recall(real, samples)
    assert precision == pytest.approx(200 / 300, abs=1e-12)
    assert recall == 1.0


def test_balls_on_a_line() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])  # k = 1: radii 1, 1, 1, 8
    samples = torch.tensor(
        [[-1.0], [-1.5], [2.5], [18.0], [18.5]]
    )  # on the edge, outside, inside, on the edge, outside
    precision, recall = precision_recall(real, samples, k=1)
    assert precision == pytest.approx(3 / 5)
    assert recall == pytest.approx(3 / 4)  # radii 0.5, 0.5, 3.5, 0.5, 0.5: only 10 is not reached


def test_chunks_change_nothing(generator: torch.Generator) -> None:
    x, y = cloud(generator, 0, 50), cloud(generator, 1, 70)
    assert precision_recall(x, y, chunk=7) == precision_recall(x, y)
    # the expansion |x|^2 + |y|^2 - 2 x.y, in float64, is off by some 1e-15
    torch.testing.assert_close(
        radii(x.double(), 3, chunk=7),
        torch.cdist(x.double(), x.double()).sort(1).values[:, 3] ** 2,
        rtol=1e-9,
        atol=1e-12,
    )


def test_misfits_are_refused(generator: torch.Generator) -> None:
    with pytest.raises(UsageError, match="k = 3"):
        precision_recall(cloud(generator, 0, 3), cloud(generator, 0))
    with pytest.raises(UsageError, match="features"):
        precision_recall(torch.zeros(9, 3), torch.zeros(9, 2))
