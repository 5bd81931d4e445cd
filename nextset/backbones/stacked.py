"""Two backbones in sequence with a linear map between them (MAE's encoder and decoder, where both see every slot: xAR, arXiv 2502.20388).

Each has its own positions, modulation and final norm; both read the same mask, sites and vector.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Layout
from ..mixers import EXACT, Cache, Keeping
from ..slots import Slots, SlotTable
from .base import Backbone, BackboneModule


class StackedModule(BackboneModule):
    """The first, the map, the second."""

    def __init__(self, spec: Stacked, layout: Layout) -> None:
        super().__init__()
        self.first, self.second = spec.first.build(layout), spec.second.build(layout)
        self.map = nn.Linear(spec.first.out, spec.second.width)
        nn.init.xavier_uniform_(self.map.weight)
        nn.init.zeros_(self.map.bias)
        self._early = len(self.first.cache(1, 1, self.map.bias).states)

    def forward(self, slots: Slots, cache: Cache | None = None) -> Tensor:
        """Hidden vectors (B, L, W) of the second."""
        self.first.checkpointing = self.second.checkpointing = self.checkpointing
        early, late = (None, None) if cache is None else self._parts(cache)
        return self.second(replace(slots, x=self.map(self.first(slots, early))), late)

    def cache(self, batch: int, slots: int, like: Tensor, keeping: Keeping = EXACT) -> Cache:
        """The states of both, one after the other."""
        early, late = (part.cache(batch, slots, like, keeping) for part in (self.first, self.second))
        return Cache([*early.states, *late.states])

    def _parts(self, cache: Cache) -> tuple[Cache, Cache]:
        return Cache(cache.states[: self._early]), Cache(cache.states[self._early :])


@dataclass(frozen=True)
class Stacked(Backbone):
    """`first`, then a linear map, then `second`."""

    first: Backbone
    second: Backbone

    def __post_init__(self) -> None:
        if self.first.modulated != self.second.modulated:
            raise UsageError(f"{self}: both backbones must be modulated, or neither")

    @property
    def width(self) -> int:
        """D of the first."""
        return self.first.width

    @property
    def out(self) -> int:
        """What the second gives."""
        return self.second.out

    @property
    def modulated(self) -> bool:
        """Whether a vector modulates both."""
        return self.first.modulated

    @property
    def listens(self) -> bool:
        """Whether either reads the condition."""
        return self.first.listens or self.second.listens

    def check(self, whole: SlotTable) -> None:
        """What either refuses."""
        self.first.check(whole)
        self.second.check(whole)

    def build(self, layout: Layout) -> StackedModule:
        """The module for tokens on `layout`."""
        return StackedModule(self, layout)
