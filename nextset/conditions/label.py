"""Class condition: slots that hold the embedding of a class, or of "no class" (classifier-free guidance).

One slot (GPT-like), several equal ones (MAR), or none; the embedding may also be the vector of AdaLN (DiT, VAR, RAR).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .base import Condition, Conditioning, ConditionModule


class LabelModule(ConditionModule):
    """A table of classes + 1 rows; the last is the null class."""

    def __init__(self, spec: Label, dim: int) -> None:
        super().__init__()
        self.spec, self.classes, self.dropout = spec, spec.classes, spec.dropout
        self.embed = nn.Embedding(spec.classes + 1, dim)
        nn.init.normal_(self.embed.weight, std=spec.std)

    def prepare(self, condition: Any, batch: int | None, device: torch.device) -> Tensor:
        """Labels (B,) int64 from an int (repeated), a sequence, a tensor, or None (no class for anybody)."""
        if condition is None:
            condition = self.classes
        labels = _as_labels(condition)
        if labels.ndim == 0:
            labels = labels.expand(batch or 1)
        if labels.ndim != 1 or (batch is not None and len(labels) != batch):
            raise UsageError(f"condition has {len(labels)} labels for {batch} samples; give one label, or one a sample")
        low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
        if low < 0 or high > self.classes:
            wrong = low if low < 0 else high
            raise UsageError(
                f"condition: label {wrong} is outside 0..{self.classes - 1} ({self.classes} means no class)"
            )
        return labels.to(device)

    def forward(self, prepared: Tensor, drop: bool = False) -> Conditioning:
        """The embedding in every slot, and as the vector where one is wanted."""
        if drop and self.dropout:
            dropped = torch.rand(prepared.shape, device=prepared.device) < self.dropout
            prepared = torch.where(dropped, self.classes, prepared)
        embedded = self.embed(prepared)
        prefix = embedded[:, None].expand(-1, self.spec.slots, -1)
        return Conditioning(prefix, embedded if self.spec.vector else None)

    def null(self, prepared: Tensor) -> Conditioning:
        """The null class."""
        return self.forward(torch.full_like(prepared, self.classes))


def _as_labels(condition: Any) -> Tensor:
    if not isinstance(condition, Tensor | Sequence | int) or isinstance(condition, str | bool):
        raise UsageError(
            f"condition must be class indices (an int, a list or a tensor), got {type(condition).__name__}"
        )
    try:
        labels = torch.as_tensor(condition)
    except (TypeError, ValueError) as error:
        raise UsageError(f"condition must be class indices: {error}") from error
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise UsageError(f"condition must be integers, got {labels.dtype}")
    return labels.long()


@dataclass(frozen=True)
class Label(Condition):
    """One of `classes`, in `slots` equal slots and, with `vector`, as the vector of AdaLN.

    In training a fraction `dropout` of the labels is replaced by the null class.
    """

    classes: int
    dropout: float = 0.1
    std: float = 0.02
    slots: int = 1
    vector: bool = False

    def of(self, labels: Tensor, captions: Sequence[str]) -> Tensor:
        """The labels."""
        return labels

    def build(self, dim: int) -> LabelModule:
        """The table."""
        return LabelModule(self, dim)
