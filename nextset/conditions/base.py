"""What every condition promises: user input checked, then turned into condition slots and, for some backbones, a vector."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..slots import Mask, Source
from ..spec import Spec


@dataclass(frozen=True)
class Conditioning:
    """A condition as the network sees it.

    prefix (B, P, D) condition slots; `vector` (B, D) for AdaLN, where a system uses one; `valid` (B, P) bool marks the slots
    that are no padding, None where all are. `heard` (B, T, D) is read beside the sequence by backbones with cross-attention, where
    `audible` (B, T) bool says what of it is no padding.
    """

    prefix: Tensor
    vector: Tensor | None = None
    valid: Tensor | None = None
    heard: Tensor | None = None
    audible: Tensor | None = None

    @property
    def source(self) -> Source | None:
        """What is read by cross-attention."""
        if self.heard is None:
            return None
        return Source(self.heard, Mask() if self.audible is None else Mask(dense=self.audible[:, None, None]))

    def join(self, other: Conditioning) -> Conditioning:
        """Both batches, one after the other; of what is heard the shorter is padded."""
        pairs = zip(_fields(self), _fields(other), strict=True)
        return Conditioning(*(None if a is None or b is None else _joined(a, b) for a, b in pairs))  # type: ignore[arg-type]

    def narrow(self, batch: int) -> Conditioning:
        """That of the first samples."""
        return Conditioning(*(None if v is None else v[:batch] for v in _fields(self)))  # type: ignore[arg-type]


def _fields(conditioning: Conditioning) -> list[Tensor | None]:
    return [getattr(conditioning, f.name) for f in dataclasses.fields(Conditioning)]


def _joined(a: Tensor, b: Tensor) -> Tensor:
    longest = max(a.shape[1], b.shape[1])
    around = [(0, 0) * (part.ndim - 2) + (0, longest - part.shape[1]) for part in (a, b)]
    return torch.cat([F.pad(part, pad) if any(pad) else part for part, pad in zip((a, b), around, strict=True)])


class ConditionModule(nn.Module, ABC):
    """Embeds conditions."""

    @abstractmethod
    def prepare(self, condition: Any, batch: int | None, device: torch.device) -> Tensor:
        """Checks user input and makes one tensor of it whose first axis is the batch; what it made before stays as it is.

        Raises UsageError naming `condition`.
        """

    @abstractmethod
    def forward(self, prepared: Tensor, drop: bool = False) -> Conditioning:
        """Embeds what `prepare` made; with `drop`, at random rows get the null condition instead (training)."""

    @abstractmethod
    def null(self, prepared: Tensor) -> Conditioning:
        """The unguided half: the null condition for the same batch."""


@dataclass(frozen=True)
class Condition(Spec, ABC):
    """Describes a condition."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """P, the number of condition slots."""

    @property
    def vector(self) -> bool:
        """Whether it gives a vector for AdaLN."""
        return False

    @property
    def heard(self) -> bool:
        """Whether it gives something to read by cross-attention."""
        return False

    @property
    def guidable(self) -> bool:
        """Whether it has a null condition to guide against."""
        return True

    @abstractmethod
    def of(self, labels: Tensor, captions: Sequence[str]) -> Any:
        """What of a training batch this condition uses: labels (B,) int64, B captions, or None."""

    @abstractmethod
    def build(self, dim: int) -> ConditionModule:
        """The module for slots of width `dim`."""
