"""Precision and recall on sets whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nextset.errors import NextsetError, UsageError
from nextset.evaluate.neighbours import density_coverage, precision_recall, radii


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


def test_density_and_coverage_of_known_sets(generator: torch.Generator) -> None:
    x = cloud(generator, 1e3)
    density, coverage = density_coverage(x, x.flip(0))
    assert density == pytest.approx(1, abs=1e-12)  # every open ball holds its centre and k - 1 others
    assert coverage == 1
    assert density_coverage(cloud(generator, 0), cloud(generator, 100)) == (0, 0)
    half = torch.cat([cloud(generator, 0), cloud(generator, 50)])
    assert density_coverage(half, half[:200])[1] == 0.5


def test_density_and_coverage_against_the_definition(generator: torch.Generator) -> None:
    real, samples = cloud(generator, 0, 40).double(), cloud(generator, 1, 30).double()
    reach = torch.cdist(real, real).sort(1).values[:, 5]
    inside = torch.cdist(real, samples) < reach[:, None]
    density, coverage = density_coverage(real, samples, chunk=7)
    assert density == pytest.approx(inside.sum().item() / (5 * 30), abs=1e-12)
    assert coverage == pytest.approx(inside.any(1).double().mean().item(), abs=1e-12)


def test_a_stray_picture_weighs_little_in_the_density(generator: torch.Generator) -> None:
    real = torch.cat([cloud(generator, 0), torch.full((1, 2), 1e3)])
    samples = torch.full((50, 2), 500.0) + cloud(generator, 0, 50)
    assert precision_recall(real, samples)[0] == 1  # all in the one large ball
    assert density_coverage(real, samples)[0] == pytest.approx(1 / 5)


def test_misfits_are_refused(generator: torch.Generator) -> None:
    with pytest.raises(UsageError, match="k = 3"):
        precision_recall(cloud(generator, 0, 3), cloud(generator, 0))
    with pytest.raises(UsageError, match="features"):
        precision_recall(torch.zeros(9, 3), torch.zeros(9, 2))
    with pytest.raises(NextsetError, match="not finite"):
        precision_recall(torch.full((9, 2), torch.nan), torch.zeros(9, 2))
