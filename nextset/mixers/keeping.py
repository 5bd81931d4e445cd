"""How attention keeps the past: the states that hold keys and values, and the specs that choose between them.

Legend: B batch, G key-value heads, L slots of this call, T slots seen, d head width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from ..slots import Mask
from ..spec import Spec


class State(ABC):
    """The past of one layer, preallocated for a batch and a number of slots."""

    @abstractmethod
    def narrow(self, batch: int) -> State:
        """The state of the first `batch` samples alone, sharing memory."""


class Shared(State, ABC):
    """A state whose rows belong to samples that come and go, each at a step of its own."""

    @abstractmethod
    def rows(self, start: int, end: int) -> Shared:
        """The state of these rows alone, sharing memory."""

    @abstractmethod
    def move(self, source: int, target: int, kept: int) -> None:
        """Row `target` becomes a copy of row `source`, of which `kept` slots count."""

    @abstractmethod
    def clear(self, row: int) -> None:
        """Makes a row empty, for the next sample."""


class KeyValues(State, ABC):
    """Keys and values of what earlier calls kept."""

    @abstractmethod
    def extend(self, k: Tensor, v: Tensor, keep: int, mask: Mask) -> tuple[Tensor, Tensor, Mask]:
        """Takes those of a call, (B, G, L, d), of which the first `keep` stay, and gives everything that it sees.

        That is keys and values (B, G, T, d), and the mask over them: `mask`, less what is no longer kept.
        """


@dataclass(frozen=True)
class Keeping(Spec, ABC):
    """Describes how keys and values are kept."""

    @abstractmethod
    def build(self, shape: tuple[int, int, int, int], like: Tensor) -> KeyValues:
        """An empty state for keys of `shape` (B, G, slots, d), where keys come with the dtype and device of `like`."""


class Whole(KeyValues):
    """All of them as they come, (B, G, slots, d); each call overwrites what the last one did not keep."""

    def __init__(self, k: Tensor, v: Tensor, kept: int = 0) -> None:
        self.k, self.v, self.kept = k, v, kept

    def extend(self, k: Tensor, v: Tensor, keep: int, mask: Mask) -> tuple[Tensor, Tensor, Mask]:
        """Views of everything so far."""
        end = self.kept + k.shape[2]
        self.k[:, :, self.kept : end] = k
        self.v[:, :, self.kept : end] = v
        self.kept += keep
        return self.k[:, :, :end], self.v[:, :, :end], mask

    def narrow(self, batch: int) -> Whole:
        """The first `batch` samples, sharing memory."""
        return Whole(self.k[:batch], self.v[:batch], self.kept)


@dataclass(frozen=True)
class Exact(Keeping):
    """Everything, in the dtype of the computation."""

    def build(self, shape: tuple[int, int, int, int], like: Tensor) -> Whole:
        """Zeros."""
        return Whole(like.new_zeros(shape), like.new_zeros(shape))


EXACT = Exact()
