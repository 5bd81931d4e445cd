"""Text condition: features of a frozen text encoder, projected into condition slots (LlamaGen, arXiv 2406.06525).

A slot is fc2(gelu(fc1(feature))), without biases. Captions are padded on the left, so that the last slot, which predicts the
first token, always holds the caption's end. "No caption" is a fixed random feature for every slot, never trained; it keeps
the padding of the caption that it stands in for.

Legend: B batch, T tokens of a caption, P slots, E width of a feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from .base import Condition, Conditioning, ConditionModule


class TextModule(ConditionModule):
    """The projection, and the features that stand for no caption."""

    empty: Tensor

    def __init__(self, spec: Text, dim: int) -> None:
        super().__init__()
        self.spec = spec
        self.fc1 = nn.Linear(spec.dim, dim, bias=False)
        self.fc2 = nn.Linear(dim, dim, bias=False)
        for layer in (self.fc1, self.fc2):
            nn.init.normal_(layer.weight, std=spec.std)
        self.register_buffer("empty", torch.randn(spec.slots, spec.dim) / spec.dim**0.5)

    def prepare(self, condition: Any, batch: int | None, device: torch.device) -> Tensor:
        """Features packed to the right, with one more channel that is 1 where a slot holds a token, (B, P, E + 1).

        Takes features (B, T, E), a pair of them and a mask (B, T) that is true at tokens, None (no caption for anybody), or
        what it made before. One caption stands for the whole batch.
        """
        return counted(self._packed(condition), batch).to(device, self.empty.dtype)

    def _packed(self, condition: Any) -> Tensor:
        if condition is None:
            condition = self.empty[None]
        if isinstance(condition, Tensor) and condition.shape[1:] == (self.spec.slots, self.spec.dim + 1):
            return condition
        features, mask = encoded(condition, self.spec.dim, self.spec.slots)
        order = mask.long().argsort(dim=1, stable=True)  # padding first, then the tokens as they come
        features = torch.where(mask[..., None], features, 0).gather(1, order[..., None].expand_as(features))
        packed = torch.cat([features, mask.gather(1, order)[..., None].to(features)], dim=-1)
        return F.pad(packed, (0, 0, self.spec.slots - packed.shape[1], 0))

    def forward(self, prepared: Tensor, drop: bool = False) -> Conditioning:
        """P slots a sample."""
        features = prepared[..., :-1]
        if drop and self.spec.dropout:
            dropped = torch.rand(len(prepared), 1, 1, device=prepared.device) < self.spec.dropout
            features = torch.where(dropped, self.empty, features)
        hidden = F.gelu(self.fc1(features.to(self.fc1.weight.dtype)), approximate="tanh")
        return Conditioning(self.fc2(hidden), valid=prepared[..., -1] > 0)

    def null(self, prepared: Tensor) -> Conditioning:
        """No caption, in the slots that the captions fill."""
        return self.forward(uncaptioned(self.empty, prepared))


def encoded(condition: Any, dim: int, length: int) -> tuple[Tensor, Tensor]:
    """Features (B, T, dim) with T up to `length`, and a bool mask (B, T) of tokens, of what a user gave.

    Raises UsageError, naming the condition, for anything but features or a pair of them and a mask.
    """
    features, mask = _pair(condition)
    if features.ndim != 3 or features.shape[2] != dim or not 1 <= features.shape[1] <= length or not len(features):
        raise UsageError(f"condition: features must be (B, T, {dim}) with T up to {length}, got {_shape(features)}")
    if not features.is_floating_point():
        raise UsageError(f"condition: features must be floating point, got {features.dtype}")
    if mask.shape != features.shape[:2]:
        raise UsageError(f"condition: the mask must be {_shape(features)[:2]} as the features are, got {_shape(mask)}")
    if not mask.any(1).all():
        raise UsageError("condition: the mask leaves a caption without any token; it is true at tokens")
    if not features[mask].isfinite().all():
        raise UsageError("condition: features must be finite")
    return features, mask


def counted(packed: Tensor, batch: int | None) -> Tensor:
    """Captions (B, ...) for `batch` samples, one for all where there is one. Raises UsageError for another number of them."""
    if batch is not None and len(packed) == 1:
        packed = packed.expand(batch, *packed.shape[1:])
    if batch is not None and len(packed) != batch:
        raise UsageError(f"condition has {len(packed)} captions for {batch} samples; give one caption, or one a sample")
    return packed


def uncaptioned(empty: Tensor, packed: Tensor) -> Tensor:
    """Captions (B, T, E + 1) whose features are the first T of `empty`, where these have tokens."""
    features = empty[: packed.shape[1]].expand(len(packed), -1, -1)
    return torch.cat([features, packed[..., -1:].to(features)], dim=-1)


def _shape(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape)


def _pair(condition: Any) -> tuple[Tensor, Tensor]:
    """Features and a bool mask of what the user gave."""
    if isinstance(condition, Tensor):
        condition = condition, torch.ones(condition.shape[:2], dtype=torch.bool, device=condition.device)
    if not (
        isinstance(condition, tuple | list) and len(condition) == 2 and all(isinstance(c, Tensor) for c in condition)
    ):
        raise UsageError(
            "condition must be the features (B, T, E) of encoded captions, or a pair of features and mask, "
            f"got {_kind(condition)}; encode captions with the text encoder first"
        )
    return condition[0], condition[1].to(condition[0].device).bool()


def _kind(condition: Any) -> str:
    some = condition[0] if isinstance(condition, tuple | list) and condition else condition
    return "captions as strings" if isinstance(some, str) else type(condition).__name__


@dataclass(frozen=True)
class Text(Condition):
    """Up to `slots` features of width `dim` a caption (2048: Flan-T5-XL); in training a fraction `dropout` of the captions is
    replaced by none."""

    dim: int = 2048
    slots: int = 120
    dropout: float = 0.1
    std: float = 0.02

    def of(self, labels: Tensor, captions: Sequence[str]) -> Any:
        """Raises UsageError: a batch has captions as strings, and this condition needs them encoded."""
        raise UsageError(
            "condition Text needs encoded captions, which training data do not hold; "
            "encode them with the text encoder and pass their features to the model's loss"
        )

    def build(self, dim: int) -> TextModule:
        """The projection."""
        return TextModule(self, dim)
