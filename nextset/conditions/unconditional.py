"""No condition: one learned slot that starts the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .base import Condition, Conditioning, ConditionModule


class UnconditionalModule(ConditionModule):
    """The start vector."""

    def __init__(self, dim: int, std: float) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.empty(dim).normal_(std=std))

    def prepare(self, condition: Any, batch: int | None, device: torch.device) -> Tensor:
        """Only counts the samples, (B, 0); a class or text is refused."""
        if condition is None:
            condition = torch.empty(batch or 1, 0)
        if not isinstance(condition, Tensor) or condition.shape[1:] != (0,) or batch not in (None, len(condition)):
            raise UsageError(f"condition must be None: this model is unconditional, got {type(condition).__name__}")
        return condition.to(device)

    def forward(self, prepared: Tensor, drop: bool = False) -> Conditioning:
        """The start slot for every sample."""
        return Conditioning(self.start.expand(len(prepared), 1, -1))

    def null(self, prepared: Tensor) -> Conditioning:
        """There is nothing to guide against."""
        raise UsageError("guidance needs a condition, but this model is unconditional; use guidance 1")


@dataclass(frozen=True)
class Unconditional(Condition):
    """Nothing is asked."""

    std: float = 0.02

    @property
    def slots(self) -> int:
        """One, the start slot."""
        return 1

    @property
    def guidable(self) -> bool:
        """Nothing to guide against."""
        return False

    def of(self, labels: Tensor, captions: Sequence[str]) -> None:
        """Nothing."""

    def build(self, dim: int) -> UnconditionalModule:
        """The start vector."""
        return UnconditionalModule(dim, self.std)
