"""Solvers of flows, where the velocity is known: data that are normal."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nextset import UsageError
from nextset.nn.flow import Euler, EulerMaruyama, FlowSolver, between

MEAN, DEVIATION, DRAWS = 1.5, 0.4, 40000


def velocity(x: Tensor, t: float) -> Tensor:
    """E[noise - x_0 | x_t] for x_0 ~ N(MEAN, DEVIATION^2)."""
    variance = (1 - t) ** 2 * DEVIATION**2 + t**2
    return -MEAN + (t - (1 - t) * DEVIATION**2) / variance * (x - (1 - t) * MEAN)


def numbers(solver: FlowSolver) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(DRAWS, solver.normals, 1, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("solver", [Euler(200), EulerMaruyama(400)], ids=str)
def test_data_come_out(solver: FlowSolver) -> None:
    """Mean and deviation of what the flow leads to."""
    x = solver.solve(velocity, numbers(solver))
    assert abs(x.mean().item() - MEAN) < 0.02
    assert abs(x.std().item() / DEVIATION - 1) < 0.05


def test_euler_steps_are_equal() -> None:
    seen: list[float] = []
    Euler(4).solve(lambda x, t: seen.append(t) or x * 0, torch.zeros(1, 1, 1))  # type: ignore[func-returns-value]
    assert seen == [1.0, 0.75, 0.5, 0.25]


def test_euler_maruyama_is_its_equation() -> None:
    """One step by hand: drift v - t score with score = -((1 - t) v + x) / t, noise sqrt(2 t |dt|), none in the last step."""
    solver = EulerMaruyama(3, last=0.2)
    drawn = torch.randn(5, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, times = drawn[:, 0], (1.0, 0.6, 0.2, 0.0)
    for step, (t, after) in enumerate(zip(times, times[1:], strict=False)):
        v = velocity(x, t)
        score = -((1 - t) * v + x) / t
        noise = math.sqrt(2 * t * (t - after)) * drawn[:, step + 1] if step < 2 else 0
        x = x + (v - t * score) * (after - t) + noise
    torch.testing.assert_close(solver.solve(velocity, drawn), x, rtol=1e-12, atol=1e-12)


def test_temperature_scales_the_noise_on_the_way() -> None:
    solver = EulerMaruyama(5)
    drawn = numbers(solver)[:10]
    start = torch.cat([drawn[:, :1], torch.zeros_like(drawn[:, 1:])], dim=1)
    assert torch.equal(solver.solve(velocity, drawn, 0.0), solver.solve(velocity, start))


def test_lines_have_ends() -> None:
    clean, noise = torch.randn(2, 3, 4)
    torch.testing.assert_close(between(clean, noise, torch.tensor(0.0)), clean)
    torch.testing.assert_close(between(clean, noise, torch.tensor(1.0)), noise)


def test_bad_numbers_are_refused() -> None:
    for make in (lambda: Euler(0), lambda: EulerMaruyama(0), lambda: EulerMaruyama(3, last=0.0)):
        with pytest.raises(UsageError):
            make()
