"""Flows from noise to data on straight lines, and how they are solved (Lipman et al. 2022; SiT, Ma et al. 2024, arXiv 2401.08740).

    x_t = (1 - t) x + t noise,   v = d x_t / dt = noise - x,   t from 1 (all noise) to 0

Euler solves dx = v dt. Euler-Maruyama solves dx = (v - w/2 score) dt + sqrt(w) dW backwards in time, with w = 2 t. On straight lines
score = -((1 - t) v + x) / t, so that the drift is (2 - t) v + x, which nothing divides by t.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..spec import Spec

Velocity = Callable[[Tensor, float], Tensor]  # (x, t) to v


def between(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t, for t that broadcasts."""
    return torch.lerp(clean, noise, t.to(clean.dtype))


@dataclass(frozen=True)
class FlowSolver(Spec, ABC):
    """Describes how a flow is solved."""

    @property
    @abstractmethod
    def normals(self) -> int:
        """How many normal vectors one token takes, the one that it starts from included."""

    @abstractmethod
    def solve(self, velocity: Velocity, drawn: Tensor, temperature: float = 1.0) -> Tensor:
        """Data (..., C) from normal numbers (..., S, C); `temperature` scales those that are added on the way."""


@dataclass(frozen=True)
class Euler(FlowSolver):
    """`steps` equal steps of the ordinary equation; nothing random but the start."""

    steps: int = 50

    def __post_init__(self) -> None:
        _check_steps(self, self.steps)

    @property
    def normals(self) -> int:
        """The start."""
        return 1

    def solve(self, velocity: Velocity, drawn: Tensor, temperature: float = 1.0) -> Tensor:
        """One velocity a step."""
        x = drawn[..., 0, :]
        for t, after in itertools.pairwise(_times(0.0, self.steps + 1)):
            x = x + (after - t) * velocity(x, t)
        return x


@dataclass(frozen=True)
class EulerMaruyama(FlowSolver):
    """The stochastic equation in `steps` velocities: equal steps down to t = `last`, then one without noise to 0."""

    steps: int = 50
    last: float = 0.04

    def __post_init__(self) -> None:
        _check_steps(self, self.steps)
        if not 0 < self.last < 1:
            raise UsageError(f"{self}: last must lie between 0 and 1")

    @property
    def normals(self) -> int:
        """The start, and one for every step but the last."""
        return self.steps

    def solve(self, velocity: Velocity, drawn: Tensor, temperature: float = 1.0) -> Tensor:
        """One velocity a step."""
        x = drawn[..., 0, :]
        times = _times(self.last, self.steps)
        for step, (t, after) in enumerate(itertools.pairwise(times), start=1):
            noise = drawn[..., step, :] * (temperature * math.sqrt(2 * t * (t - after)))
            x = x + (after - t) * _drift(velocity, x, t) + noise
        return x - times[-1] * _drift(velocity, x, times[-1])


def _drift(velocity: Velocity, x: Tensor, t: float) -> Tensor:
    return (2 - t) * velocity(x, t) + x


def _times(last: float, count: int) -> list[float]:
    """From 1 to `last`, on the CPU whatever the default device."""
    found: list[float] = torch.linspace(1.0, last, count, dtype=torch.float64, device="cpu").tolist()
    return found


def _check_steps(solver: FlowSolver, steps: int) -> None:
    if steps < 1:
        raise UsageError(f"{solver}: steps must be at least 1")
