"""Gaussian diffusion of vectors: cosine noise, learned variance, fewer steps than it was trained in.

    q(x_t | x_0) = N(sqrt(a_t) x_0, 1 - a_t),   a_t = prod of (1 - beta_s) up to t
    p(x_(t-1) | x_t) = N(posterior mean at x_0(x_t, eps), beta^f beta~^(1 - f))

DDPM (Ho et al. 2020, arXiv 2006.11239) with the schedule, the variance between beta~ and beta, the bound in bits and the respacing of
IDDPM (Nichol and Dhariwal 2021, arXiv 2102.09672). Legend: T levels of noise, S of them visited, C channels.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..spec import Spec

LARGEST_BETA = 0.999
HALF_LEVEL = 1 / 255  # half of one of 256 levels of [-1, 1]: the last step's likelihood is that of such a level


@dataclass(frozen=True)
class Spacing(Spec, ABC):
    """Which of the levels of noise sampling visits."""

    count: int

    @abstractmethod
    def visited(self, levels: int) -> tuple[int, ...]:
        """`count` of range(levels), rising from 0. Raises UsageError where that cannot be."""


@dataclass(frozen=True)
class Even(Spacing):
    """From the first level to the last in equal fractions, rounded."""

    count: int = 100

    def visited(self, levels: int) -> tuple[int, ...]:
        """round(i (T - 1) / (S - 1))."""
        if not 2 <= self.count <= levels:
            raise UsageError(f"{self}: count must be 2 to {levels}")
        stride, places, place = (levels - 1) / (self.count - 1), [], 0.0
        for _ in range(self.count):
            places.append(round(place))
            place += stride
        return tuple(places)


@dataclass(frozen=True)
class Strided(Spacing):
    """Every so manieth level, from 0 (DDIM's spacing, arXiv 2010.02502): it starts below the last level, where all is noise."""

    count: int = 25

    def visited(self, levels: int) -> tuple[int, ...]:
        """range(0, T, stride) with the smallest stride that gives `count`."""
        fitting = (s for s in range(1, levels) if len(range(0, levels, s)) == self.count)
        stride = next(fitting, None)
        if stride is None:
            raise UsageError(f"{self}: no whole stride cuts {levels} levels into {self.count}")
        return tuple(range(0, levels, stride))


def cosine_betas(levels: int) -> np.ndarray:
    """beta_t (T,) float64 of the cosine schedule: a_t = cos^2(pi/2 (t / T + 0.008) / 1.008)."""
    shares = [math.cos((t / levels + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(levels + 1)]
    return np.array([min(1 - b / a, LARGEST_BETA) for a, b in zip(shares, shares[1:], strict=False)])


@dataclass(frozen=True, eq=False)
class Chain:
    """The tables (S,) of one chain, float64, on one device; `level` int64 is what the network is told.

    Places t in the chain are an int, or int64 tensors of the shape of what they are for, without its last axis.
    """

    level: Tensor
    beta: Tensor
    signal: Tensor
    noise: Tensor
    inverse_signal: Tensor
    inverse_noise: Tensor
    from_origin: Tensor
    from_noisy: Tensor
    log_low: Tensor
    log_high: Tensor

    def __len__(self) -> int:
        return len(self.level)

    def noised(self, origin: Tensor, eps: Tensor, t: int | Tensor) -> Tensor:
        """x_t (..., C)."""
        return _at(self.signal, t, origin) * origin + _at(self.noise, t, origin) * eps

    def origin(self, x: Tensor, eps: Tensor, t: int | Tensor) -> Tensor:
        """x_0 (..., C) that x_t and its noise tell."""
        return _at(self.inverse_signal, t, x) * x - _at(self.inverse_noise, t, x) * eps

    def mean(self, origin: Tensor, x: Tensor, t: int | Tensor) -> Tensor:
        """That of q(x_(t-1) | x_t, x_0)."""
        return _at(self.from_origin, t, x) * origin + _at(self.from_noisy, t, x) * x

    def log_variance(self, share: Tensor, t: int | Tensor) -> Tensor:
        """ln of the model's variance, of the network's `share` (..., C): -1 is that of the posterior, 1 is beta."""
        part = (share + 1) / 2
        return part * _at(self.log_high, t, share) + (1 - part) * _at(self.log_low, t, share)

    def back(self, x: Tensor, eps: Tensor, share: Tensor, t: int, noise: Tensor | None) -> Tensor:
        """x_(t-1) of x_t, of what the network says of it, and of scaled normal numbers (None: the mean)."""
        mean = self.mean(self.origin(x, eps, t), x, t)
        return mean if noise is None else mean + (0.5 * self.log_variance(share, t)).exp() * noise

    def bound(self, origin: Tensor, x: Tensor, eps: Tensor, share: Tensor, t: Tensor) -> Tensor:
        """The term of the variational bound at t, bits a channel (...): a divergence, at t = 0 the likelihood of a grey level."""
        true_mean, true_log = self.mean(origin, x, t), _at(self.log_low, t, x)
        mean, log = self.mean(self.origin(x, eps, t), x, t), self.log_variance(share, t)
        divergence = 0.5 * (log - true_log + (true_log - log).exp() + (true_mean - mean).square() * (-log).exp() - 1)
        nats = torch.where((t == 0)[..., None], -log_level(origin, mean, 0.5 * log), divergence)
        return nats.mean(-1) / math.log(2)


def log_level(x: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """ln probability under a normal distribution of the one of 256 levels of [-1, 1] that x is; the outermost are open."""
    inverse = (-log_deviation).exp()
    above = _normal_cdf((x - mean + HALF_LEVEL) * inverse)
    below = _normal_cdf((x - mean - HALF_LEVEL) * inverse)
    chance = torch.where(x < -0.999, above, torch.where(x > 0.999, 1 - below, above - below))
    return chance.clamp(min=1e-12).log()


def _normal_cdf(x: Tensor) -> Tensor:
    """Page's approximation by tanh, which IDDPM uses."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _at(table: Tensor, t: int | Tensor, like: Tensor) -> Tensor:
    found = table[t] if isinstance(t, int) else table[t][..., None]
    return found.to(like.dtype)


@functools.lru_cache(maxsize=32)
def chain(levels: int, spacing: Spacing | None, device: torch.device) -> Chain:
    """The chain over all levels (training), or over those that `spacing` visits; made once a device and kept."""
    visited = np.arange(levels) if spacing is None else np.array(spacing.visited(levels))
    kept = np.cumprod(1 - cosine_betas(levels))[visited]
    before = np.append(1.0, kept[:-1])
    beta = 1 - kept / before
    posterior = beta * (1 - before) / (1 - kept)
    tables = {
        "beta": beta,
        "signal": np.sqrt(kept),
        "noise": np.sqrt(1 - kept),
        "inverse_signal": np.sqrt(1 / kept),
        "inverse_noise": np.sqrt(1 / kept - 1),
        "from_origin": beta * np.sqrt(before) / (1 - kept),
        "from_noisy": (1 - before) * np.sqrt(1 - beta) / (1 - kept),
        "log_low": np.log(
            np.append(posterior[1], posterior[1:])
        ),  # that of the first step is 0, so it takes the second's
        "log_high": np.log(beta),
    }
    with torch.inference_mode(False):  # what is kept must also serve training
        return Chain(
            torch.as_tensor(visited, device=device),
            **{name: torch.as_tensor(table, device=device) for name, table in tables.items()},
        )
