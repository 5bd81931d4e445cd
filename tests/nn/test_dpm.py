"""The linear schedule and DPM-Solver++, where the noise is known: data that are normal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nextset.nn import dpm

MEAN, DEVIATION = 0.5, 0.6


def predict(x: Tensor, k: int) -> Tensor:
    """E[noise | x_k] for x_0 ~ N(MEAN, DEVIATION^2)."""
    a = dpm.signal()[k]
    s2 = 1 - a * a
    return math.sqrt(s2) * (x - a * MEAN) / (a * a * DEVIATION**2 + s2)


def exact(x: Tensor, k: int) -> Tensor:
    """Where the flow from step k leads: quantiles stay."""
    a = dpm.signal()[k]
    return MEAN + DEVIATION * (x - a * MEAN) / math.sqrt(a * a * DEVIATION**2 + 1 - a * a)


def test_schedule_is_ddpms() -> None:
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(dpm.signal(), dtype=torch.float64), (1 - betas).cumprod(0).sqrt())


def test_visited_steps() -> None:
    """25 evaluations go from 950 to 38 in steps of 38, as the paper's sampler does."""
    assert dpm.visited(25) == list(range(950, 0, -38))
    assert dpm.visited(3) == [750, 500, 250]


def test_it_converges_in_second_order() -> None:
    """Up to the jump from the last visited step, which is of first order and small."""
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    errors = [(dpm.solve(predict, x, n) - exact(x, dpm.visited(n)[0])).abs().max().item() for n in (12, 24, 49)]
    assert errors[2] < 0.01
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_one_step_is_the_data_that_the_noise_says() -> None:
    x, k = torch.linspace(-2, 2, 9, dtype=torch.float64), 500
    a = dpm.signal()[k]
    torch.testing.assert_close(dpm.solve(predict, x, 1), (x - math.sqrt(1 - a * a) * predict(x, k)) / a)
