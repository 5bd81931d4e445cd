"""A part that a user might write: sets of sites in a random order.

With it the laws cover what plans, masks and caches do beyond one token a step, whichever systems the catalogue has.
"""

from __future__ import annotations

from dataclasses import dataclass

from nextset.layout import Layout
from nextset.noise import Noise
from nextset.orders import Order, Plan


@dataclass(frozen=True)
class Growing(Order):
    """A random order for each sample, in steps of 1, 2, 3, ... sites."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """As many sites as are left, in the last step."""
        sizes: list[int] = []
        while sum(sizes) < layout.sites:
            sizes.append(min(len(sizes) + 1, layout.sites - sum(sizes)))
        return tuple(sizes)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """Permutations (B, N)."""
        return Plan(noise.permutation(layout.sites), self.sizes(layout))
