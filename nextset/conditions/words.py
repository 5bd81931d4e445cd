"""Words: ids of a caption, each embedded in a slot of its own, with a learned position a slot (the way of GPT; RQ-Transformer).

A class is a caption of one word, and "nothing asked" a caption of one word out of one. Where captions are predicted too, slot i also
says what word i + 1 is. Legend: B batch, P slots, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..nn.norm import Layer
from ..nn.precision import at_least_float32
from .base import Condition, Conditioning, ConditionModule


class WordsModule(ConditionModule):
    """A table of words, the last row "no caption" where there is one, and the positions."""

    def __init__(self, spec: Words, dim: int) -> None:
        super().__init__()
        self.spec = spec
        self.embed = nn.Embedding(spec.vocab + spec.guidable, dim)
        self.position = nn.Parameter(torch.empty(spec.slots, dim).normal_(std=spec.std))
        nn.init.normal_(self.embed.weight, std=spec.std)
        if spec.predicted:
            self.norm, self.project = Layer(eps=1e-5).build(dim), nn.Linear(dim, spec.vocab)
            nn.init.normal_(self.project.weight, std=spec.std)
            nn.init.zeros_(self.project.bias)

    def prepare(self, condition: Any, batch: int | None, device: torch.device) -> Tensor:
        """Ids (B, P) int64 from ids (B, P), (P,) for all samples, labels (B,) or an int where P is 1, or None.

        None is no caption, and without a null caption the first word in every slot.
        """
        nothing = torch.full((1, self.spec.slots), self.spec.vocab if self.spec.guidable else 0)
        ids = _as_ids(nothing if condition is None else condition)
        if self.spec.slots == 1 and ids.ndim < 2:
            ids = ids.reshape(-1, 1)
        ids = ids[None] if ids.ndim == 1 else ids
        if ids.ndim != 2 or ids.shape[1] != self.spec.slots:
            raise UsageError(f"condition: ids must be (B, {self.spec.slots}), got {tuple(ids.shape)}")
        if batch is not None and len(ids) == 1:
            ids = ids.expand(batch, -1)
        if batch is not None and len(ids) != batch:
            raise UsageError(
                f"condition has {len(ids)} captions for {batch} samples; give one caption, or one a sample"
            )
        low, high, last = ids.min(), ids.max(), self.embed.num_embeddings - 1
        if low < 0 or high > last:
            raise UsageError(f"condition: id {int(low if low < 0 else high)} is outside 0..{last}")
        return ids.to(device)

    def forward(self, prepared: Tensor, drop: bool = False) -> Conditioning:
        """Word and position in every slot."""
        if drop and self.spec.dropout:
            dropped = torch.rand(len(prepared), 1, device=prepared.device) < self.spec.dropout
            prepared = torch.where(dropped, self.spec.vocab, prepared)
        return Conditioning(self.embed(prepared) + self.position)

    def null(self, prepared: Tensor) -> Conditioning:
        """No caption. Raises UsageError where the model was never trained without."""
        if not self.spec.guidable:
            raise UsageError("guidance needs a null condition, which this model was not trained with; use guidance 1")
        return self.forward(torch.full_like(prepared, self.spec.vocab))

    def logits(self, hidden: Tensor) -> Tensor:
        """Of each caption's words but the first (B, P - 1, V), in at least float32, from the hidden vectors of its slots (B, P, D)."""
        return at_least_float32(self.project(self.norm(hidden[:, :-1])))

    def losses(self, hidden: Tensor, prepared: Tensor) -> Tensor:
        """-ln p of each word but the first given those before it, (B, P - 1)."""
        return F.cross_entropy(self.logits(hidden).transpose(1, 2), prepared[:, 1:], reduction="none")


def _as_ids(condition: Any) -> Tensor:
    if not isinstance(condition, Tensor | Sequence | int) or isinstance(condition, str | bool):
        raise UsageError(f"condition must be ids (ints, lists or a tensor), got {type(condition).__name__}")
    try:
        ids = torch.as_tensor(condition)
    except (TypeError, ValueError) as error:
        raise UsageError(f"condition must be ids: {error}") from error
    if ids.is_floating_point() or ids.dtype == torch.bool or not ids.numel():
        raise UsageError(f"condition must be integers, got {ids.dtype} of shape {tuple(ids.shape)}")
    return ids.long()


@dataclass(frozen=True)
class Words(Condition):
    """Captions of `slots` ids out of `vocab`, padded by the tokenizer that made them.

    In training a fraction `dropout` of them is replaced by the null caption; None: never, and there is no null caption.
    `predicted` adds a classifier of the next word, which objective `Captioned` trains.
    """

    vocab: int
    slots: int = 1
    dropout: float | None = 0.1
    std: float = 0.02
    predicted: bool = False

    def __post_init__(self) -> None:
        if min(self.vocab, self.slots) < 1:
            raise UsageError(f"{self}: vocab and slots must be at least 1")
        if self.predicted and (self.slots < 2 or self.dropout is not None):
            raise UsageError(f"{self}: predicted captions need at least 2 slots, and dropout=None")

    @property
    def guidable(self) -> bool:
        """Whether there is a null caption."""
        return self.dropout is not None

    def of(self, labels: Tensor, captions: Sequence[str]) -> Tensor | None:
        """The labels as captions of one word; nothing where there is only one word. Raises UsageError for longer captions."""
        if self.slots > 1:
            raise UsageError(
                f"condition Words needs captions as {self.slots} ids, which training data do not hold; "
                "encode them and pass the ids to the model's loss"
            )
        return labels[:, None] if self.vocab > 1 else None

    def build(self, dim: int) -> WordsModule:
        """The tables."""
        return WordsModule(self, dim)
