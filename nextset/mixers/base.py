"""What every mixer promises, and the cache that decoding passes through a backbone.

A mixer keeps what it needs of the past in a `State` of its own making (keys and values, or a recurrent state); a `Cache`
holds one state a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..slots import Mask, SlotTable
from ..spec import Spec
from .keeping import EXACT, Keeping, State


@dataclass(frozen=True)
class Context:
    """What a mixer may know about the slots beside their contents: positions, mask, and how many leading slots to keep."""

    rotary: Tensor | None
    mask: Mask
    keep: int = 0


class Cache:
    """One state a layer."""

    def __init__(self, states: Sequence[State]) -> None:
        self.states = list(states)

    def narrow(self, batch: int) -> Cache:
        """The cache of the first `batch` samples alone."""
        return Cache([state.narrow(batch) for state in self.states])

    @property
    def nbytes(self) -> int:
        """Bytes of all states."""
        return sum(state.nbytes for state in self.states)

    def reserve(self, kept: int, passing: int) -> None:
        """Makes room for a call of `passing` slots after `kept` ones, where that was not there from the start."""
        for state in self.states:
            state.reserve(kept, passing)

    def read(self, kept: int) -> int:
        """Bytes of it that a call reads after `kept` slots were kept."""
        return sum(state.read(kept) for state in self.states)


class MixerModule(nn.Module, ABC):
    """Mixes slots; with a state it also sees what earlier calls kept, and keeps the first `context.keep` slots of this call."""

    @abstractmethod
    def forward(self, x: Tensor, context: Context, state: State | None = None) -> Tensor:
        """(B, L, D) to (B, L, D)."""

    @abstractmethod
    def state(self, batch: int, slots: int, like: Tensor, keeping: Keeping = EXACT) -> State:
        """An empty state for `batch` samples and up to `slots` slots, with the dtype and device of `like`.

        `keeping` says how keys and values are kept, where there are such.
        """


@dataclass(frozen=True)
class Mixer(Spec, ABC):
    """Describes a mixer."""

    def check(self, whole: SlotTable) -> None:
        """Raises UsageError where it cannot mix the slots of a whole sequence (a recurrence needs a causal mask)."""

    @abstractmethod
    def build(self, dim: int, dropout: float) -> MixerModule:
        """The module for width `dim`."""

    @abstractmethod
    def rotary_dim(self, dim: int) -> int | None:
        """Channels of one head, which rotary positions turn; None for a mixer that takes no positions."""
