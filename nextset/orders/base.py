"""What every order promises: a `Plan`, the sites of each sample cut into steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..noise import Noise
from ..spec import Spec


@dataclass(frozen=True, eq=False)
class Plan:
    """Which sites come when: `perm` (N,) or (B, N) int64 lists the sites in order, `sizes` says how many each step takes.

    Rank r is place r of that order; step k holds the ranks [starts[k], starts[k + 1]). `layout`, where it is said, is that of the
    sites (None: the system's own).
    """

    perm: Tensor
    sizes: tuple[int, ...]
    layout: Layout | None = None

    def __post_init__(self) -> None:
        if sum(self.sizes) != self.perm.shape[-1] or min(self.sizes) < 1:
            raise UsageError(f"step sizes {self.sizes} do not cut {self.perm.shape[-1]} sites into steps of at least 1")

    @property
    def starts(self) -> tuple[int, ...]:
        """The first rank of every step, and N at the end."""
        ends = [0]
        for size in self.sizes:
            ends.append(ends[-1] + size)
        return tuple(ends)

    def to_ranks(self, by_site: Tensor, ranks: slice | Tensor = slice(None)) -> Tensor:
        """Values listed by site, (B, N, ...), listed by rank instead; all ranks, or only these, (B, n, ...)."""
        perm = self.perm[..., ranks]
        if perm.ndim == 1:
            return by_site.index_select(1, perm)
        index = perm.reshape(*perm.shape, *[1] * (by_site.ndim - 2)).expand(-1, -1, *by_site.shape[2:])
        return by_site.gather(1, index)

    def to_sites(self, by_rank: Tensor) -> Tensor:
        """The inverse of `to_ranks`."""
        inverse = self.perm.argsort(-1)
        return Plan(inverse, self.sizes).to_ranks(by_rank)

    def starting_with(self, given: Tensor) -> Plan:
        """First the sites `given` (B, N) bool, then the rest, each part in the order of this plan, whose `perm` is (B, N)."""
        late = self.to_ranks(~given).to(torch.int8)
        return Plan(self.perm.gather(1, late.argsort(dim=1, stable=True)), self.sizes)


@dataclass(frozen=True)
class Order(Spec, ABC):
    """Partitions the sites of a layout into steps. An order has no weights: the spec is the behaviour."""

    @abstractmethod
    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """How many sites each step takes, known without drawing."""

    @abstractmethod
    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """The plan for the samples of `noise` (an order that draws nothing gives one permutation for all)."""

    def trained(self, progress: float = 1.0) -> Order:
        """The order of training at `progress` in [0, 1] of the run, and at 1 of likelihoods: this one, unless it is drawn in
        fewer steps than it is trained in, or changes in the course of training."""
        return self

    @property
    def varied(self) -> bool:
        """Whether training goes over layouts that are drawn (`practised`)."""
        return False

    def practised(self, layout: Layout, seed: int) -> Layout:
        """The layout of a training batch: the system's own, unless training goes over others that are drawn from `seed`."""
        return layout

    def kept(self, layout: Layout, region: Tensor) -> Tensor:
        """The sites (B, N) bool whose tokens are given when the `region` (B, H, W) bool of pictures is redrawn: the untouched."""
        return ~layout.touched(region)

    def given_first(self, plan: Plan, given: Tensor) -> Plan:
        """The plan of an edit whose sites `given` (B, N) bool are known: the same, unless the order is free to start with them."""
        return plan


class Chooser(ABC):
    """Chooses which sites become known in each step of decoding one batch. Everything random in it was drawn beforehand."""

    active: Sequence[int]  # the steps in which something may become known, rising
    drafts: int = (
        1  # how often all sites are drawn with fresh numbers; 1: a site has one number for whichever step it is kept in
    )
    confident: bool = False  # as its order says

    def softened(self, step: int) -> tuple[float, float]:
        """The temperature that a token is drawn with in `step`, and what logits are divided by for that and for confidence."""
        return 1.0, 1.0

    @abstractmethod
    def known_after(self, step: int, known: Tensor, free: Tensor, confidence: Tensor | None) -> Tensor:
        """What is known after `step`, (B, N) bool: all that was `known`, and more.

        `free` (B, 1) sites were unknown at first; `confidence` (B, N) says how sure the head is of what it drew at every site.
        """


@dataclass(frozen=True)
class Adaptive(Order, ABC):
    """Chooses its sites while it decodes, for each sample its own, and so needs a wiring in which samples know different sites.

    Trained and judged as any order. `plan`, which is not what is drawn, is a random order in steps of the same sizes.
    """

    @abstractmethod
    def counts(self, layout: Layout) -> tuple[int, ...]:
        """How many sites become known in each step, exactly or on average; 0 where that is none."""

    @property
    def confident(self) -> bool:
        """Whether it asks how sure the head is."""
        return False

    @abstractmethod
    def chooser(self, layout: Layout, noise: Noise) -> Chooser:
        """What chooses for the samples of `noise`."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """The counts that are not 0."""
        return tuple(count for count in self.counts(layout) if count)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """A random order in these sizes."""
        return Plan(noise.permutation(layout.sites), self.sizes(layout))

    def given_first(self, plan: Plan, given: Tensor) -> Plan:
        """What is given, then the rest."""
        return plan.starting_with(given)
