"""How attention keeps the past: the state that holds keys and values, and the spec that chooses one.

`Exact` keeps everything as it comes; `rounded.py` keeps it in fewer bits, `window.py` keeps less of it.

Legend: B batch, G key-value heads, L slots of this call, T slots seen, d head width.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from ..slots import Mask
from ..spec import Spec


class State(ABC):
    """The past of one layer, preallocated for a batch and a number of slots."""

    @abstractmethod
    def narrow(self, batch: int) -> State:
        """The state of the first `batch` samples alone, sharing memory."""

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, Tensor))

    def reserve(self, kept: int, passing: int) -> None:
        """Makes room for a call of `passing` slots after `kept` ones, where that was not there from the start."""
        return

    def read(self, kept: int) -> int:
        """Bytes of it that a call reads after `kept` slots were kept: all of a state whose size does not depend on them."""
        return self.nbytes


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
    """Keys and values of what earlier calls kept; all its tensors are (B, G, slots, ...)."""

    k: Tensor
    v: Tensor
    readers: int = 1  # layers that read what one call is given

    @abstractmethod
    def extend(self, k: Tensor, v: Tensor, keep: int, mask: Mask) -> tuple[Tensor, Tensor, Mask]:
        """Takes those of a call, (B, G, L, d), of which the first `keep` stay, and gives everything that it sees.

        That is keys and values (B, G, T, d) in the dtype of the call, valid until the next one, and the mask over them: `mask`, whose
        columns are all slots ever kept and those of the call, less what is no longer kept.
        """

    def narrow(self, batch: int) -> Self:
        """The first `batch` samples, sharing memory."""
        narrowed = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(narrowed, name, value[:batch])
        return narrowed

    def read(self, kept: int) -> int:
        """Those of the kept slots, once for every layer that reads them."""
        return self.readers * kept * (self.nbytes // self.k.shape[2])


@dataclass(frozen=True)
class Keeping(Spec, ABC):
    """Describes how keys and values are kept."""

    @abstractmethod
    def build(self, shape: tuple[int, int, int, int], like: Tensor) -> KeyValues:
        """An empty state for keys of `shape` (B, G, slots, d), where keys come with the dtype and device of `like`."""


class Whole(KeyValues):
    """All of them as they come, (B, G, slots, d); each call overwrites what the last one did not keep."""

    def __init__(self, k: Tensor, v: Tensor) -> None:
        self.k, self.v, self.kept = k, v, 0

    def extend(self, k: Tensor, v: Tensor, keep: int, mask: Mask) -> tuple[Tensor, Tensor, Mask]:
        """Views of everything so far."""
        end = self.kept + k.shape[2]
        self.k[:, :, self.kept : end] = k
        self.v[:, :, self.kept : end] = v
        self.kept += keep
        return self.k[:, :, :end], self.v[:, :, :end], mask


@dataclass(frozen=True)
class Exact(Keeping):
    """Everything, in the dtype of the computation."""

    def build(self, shape: tuple[int, int, int, int], like: Tensor) -> Whole:
        """Zeros."""
        return Whole(like.new_zeros(shape), like.new_zeros(shape))


EXACT = Exact()
