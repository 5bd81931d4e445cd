"""Schedules: how many sites each step of a parallel order takes. They differ from paper to paper, and in the last integer."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..nn.masking import Masking
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
class Falling(Schedule):
    """After step s of K (from 0) floor(N curve((s + 1) / K)) sites stay unknown, at least 1 and 1 less each time; the last takes all.

    With the cosine MAR's (arXiv 2406.11838) and one of ARPG's (arXiv 2503.10568), whose other is the arccos: even steps, then a
    burst. Where too few sites are left for every step to take one, there are fewer steps.
    """

    curve: Masking

    def sizes(self, sites: int, steps: int) -> tuple[int, ...]:
        """Differences of what stays unknown."""
        unknown = [sites]
        for step in range(1, steps):
            wanted = math.floor(sites * self.curve.left(step, steps))
            unknown.append(max(1, min(wanted, unknown[-1] - 1)))
        return tuple(a - b for a, b in itertools.pairwise([*unknown, 0]) if a > b)


def cosine_sizes(sites: int, steps: int) -> tuple[int, ...]:
    """One site, then after step s of K (counted from 0) floor(N (1 - cos(pi/2 (s + 1) / K)) + 1) in all, at least one more each."""
    done = [0, 1]
    for step in range(1, steps):
        wanted = int((1 - math.cos(math.pi / 2 * (step + 1) / steps)) * sites + 1)
        done.append(min(sites, max(wanted, done[-1] + 1)))
    done.append(sites)
    return tuple(b - a for a, b in itertools.pairwise(done) if b > a)
