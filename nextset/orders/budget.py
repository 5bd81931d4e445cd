"""Random order in given steps, and the best steps for a number of network calls (ARDM, Hoogeboom et al. 2021, arXiv 2110.02037).

Let L[t] be the mean cost of a site, in nats, when t sites are known. Drawing the sites s .. e - 1 together costs (e - s) L[s], since each
knows the first s alone. The cheapest way to reach t sites in k calls follows from that by dynamic programming:

    cost[k, t] = min over s of  cost[k - 1, s] + (t - s) L[s]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from .base import Order, Plan
from .random import Random


@dataclass(frozen=True)
class Budget(Order):
    """A uniformly random permutation a sample, in steps of the sizes `cut`; see `policy` and `even`."""

    cut: tuple[int, ...]

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """`cut`. Raises UsageError where it is no cut of the sites."""
        if sum(self.cut) != layout.sites or min(self.cut, default=0) < 1:
            raise UsageError(f"cut must be sizes of at least 1 that sum to the {layout.sites} sites, got {self.cut}")
        return self.cut

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """One permutation a sample, from its own stream."""
        return Plan(noise.permutation(layout.sites), self.sizes(layout))

    def trained(self, progress: float = 1.0) -> Order:
        """One site a step."""
        return Random()

    def given_first(self, plan: Plan, given: Tensor) -> Plan:
        """What is given, then the rest."""
        return plan.starting_with(given)


def even(sites: int, calls: int) -> tuple[int, ...]:
    """The naive policy: steps of equal sizes, as far as that goes."""
    ends = [sites * call // calls for call in range(calls + 1)]
    return tuple(b - a for a, b in zip(ends, ends[1:], strict=False))


def price(costs: Sequence[float], sizes: Sequence[int]) -> float:
    """What steps of these sizes cost in all, in nats, where a site costs costs[t] when t are known."""
    starts = np.cumsum([0, *sizes[:-1]])
    return float(sum(size * costs[start] for size, start in zip(sizes, starts, strict=True)))


def policy(costs: Sequence[float], calls: int) -> tuple[int, ...]:
    """The sizes of the cheapest `calls` steps. `costs` are L[0] .. L[N - 1] as measured; noise in them is not exploited.

    Raises UsageError for fewer than one call or more than sites.
    """
    sites = len(costs)
    if not 1 <= calls <= sites:
        raise UsageError(f"calls must be 1 to {sites}, the sites, got {calls}")
    falling = -np.sort(-np.asarray(costs, np.float64))  # what is true of the exact ones: more known costs no more
    place = np.arange(sites + 1)
    length = place[:, None] - place[None, :-1]  # of a step from s to t, (t, s)
    steps = np.where(length > 0, length * falling, np.inf)
    best, came = np.full(sites + 1, np.inf), []
    best[0] = 0.0
    for _ in range(calls):
        total = best[None, :-1] + steps
        came.append(total.argmin(1))
        best = total.min(1)
    ends = [sites]
    for origin in reversed(came):
        ends.append(int(origin[ends[-1]]))
    ends.reverse()
    return tuple(b - a for a, b in zip(ends, ends[1:], strict=False))
