"""What every condition promises: user input checked, then turned into condition slots and, for some backbones, a vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..spec import Spec


@dataclass(frozen=True)
class Conditioning:
    """A condition as the network sees it.

    prefix (B, P, D) condition slots; `vector` (B, D) for AdaLN, where a system uses one; `valid` (B, P) bool marks the slots
    that are no padding, None where all are.
    """

    prefix: Tensor
    vector: Tensor | None = None
    valid: Tensor | None = None

    def join(self, other: Conditioning) -> Conditioning:
        """Both batches, one after the other."""
        pairs = ((self.prefix, other.prefix), (self.vector, other.vector), (self.valid, other.valid))
        return Conditioning(*(None if a is None or b is None else torch.cat([a, b]) for a, b in pairs))  # type: ignore[arg-type]


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
    def guidable(self) -> bool:
        """Whether it has a null condition to guide against."""
        return True

    @abstractmethod
    def of(self, labels: Tensor, captions: Sequence[str]) -> Any:
        """What of a training batch this condition uses: labels (B,) int64, B captions, or None."""

    @abstractmethod
    def build(self, dim: int) -> ConditionModule:
        """The module for slots of width `dim`."""
