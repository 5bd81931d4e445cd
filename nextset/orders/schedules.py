"""Schedules: how many sites each step of a parallel order takes. They differ from paper to paper, and in the last integer."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..spec import Spec


@dataclass(frozen=True)
class Schedule(Spec, ABC):
    """Cuts sites into steps."""

    @abstractmethod
    def sizes(self, sites: int, steps: int) -> tuple[int, ...]:
        """Sizes of about `steps` steps (1 <= steps <= sites), each at least 1, that sum to `sites`."""


@dataclass(frozen=True)
class Rising(Schedule):
    """RandAR's (arXiv 2412.01827): one site, then what is known follows 1 - cos; some steps fewer or one more than asked for."""

    def sizes(self, sites: int, steps: int) -> tuple[int, ...]:
        """`cosine_sizes`."""
        return cosine_sizes(sites, steps)


@dataclass(frozen=True)
class Cosine(Schedule):
    """ARPG's cosine: after step s of K (counted from 0) floor(N cos(pi/2 (s + 1) / K)) sites are left, all taken in the last."""

    def sizes(self, sites: int, steps: int) -> tuple[int, ...]:
        """Small steps first, growing to the end."""
        return _sizes(sites, [math.cos(math.pi / 2.0 * (step + 1) / steps) for step in range(steps)])


@dataclass(frozen=True)
class Arccos(Schedule):
    """ARPG's arccos: floor(N arccos((s + 1) / K) / (pi/2)) are left; almost even steps, and some very large ones at the end."""

    def sizes(self, sites: int, steps: int) -> tuple[int, ...]:
        """Even steps, then a burst."""
        return _sizes(sites, [math.acos((step + 1) / steps) / (math.pi * 0.5) for step in range(steps)])


def _sizes(sites: int, left: list[float]) -> tuple[int, ...]:
    """Sizes of steps after which these shares of the sites are left, at least one site a step as long as there are any."""
    done = [0]
    for share in left[:-1]:
        done.append(sites - max(1, min(sites - done[-1] - 1, int(sites * share))))
    return tuple(b - a for a, b in itertools.pairwise([*done, sites]) if b > a)


def cosine_sizes(sites: int, steps: int) -> tuple[int, ...]:
    """One site, then after step s of K (counted from 0) floor(N (1 - cos(pi/2 (s + 1) / K)) + 1) in all, at least one more each."""
    done = [0, 1]
    for step in range(1, steps):
        wanted = int((1 - math.cos(math.pi / 2 * (step + 1) / steps)) * sites + 1)
        done.append(min(sites, max(wanted, done[-1] + 1)))
    done.append(sites)
    return tuple(b - a for a, b in itertools.pairwise(done) if b > a)
