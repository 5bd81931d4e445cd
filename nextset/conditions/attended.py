"""A caption that is attended to: features of a frozen text encoder, read by cross-attention in every block (Infinity, arXiv 2412.04431).

Features are normalised, then serve in two ways: fc2(gelu(fc1(f))) is what blocks read; and one learned query pools them, by attention, into
a single vector, which is the start token and the vector of AdaLN. "No caption" is a learned table of features, of which as many rows count
as the caption that they stand in for has tokens.

Legend: B batch, T tokens of the longest caption here, E width of a feature, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..nn.norm import RMS
from ..nn.reading import Pool
from ..slots import Mask, Source
from .base import Condition, Conditioning, ConditionModule
from .text import counted, encoded, uncaptioned


class AttendedModule(ConditionModule):
    """The norm, the pool, the maps, and the features that stand for no caption."""

    empty: Tensor

    def __init__(self, spec: Attended, dim: int) -> None:
        super().__init__()
        self.spec = spec
        empty = nn.init.trunc_normal_(torch.empty(spec.length, spec.dim), std=1.2) / spec.dim**0.5
        if spec.learned:
            self.empty = nn.Parameter(empty)
        else:
            self.register_buffer("empty", empty)
        self.norm = RMS(eps=spec.eps).build(spec.dim)
        self.pool = Pool(dim, spec.heads, spec.dim, spec.std)
        self.fc1, self.fc2 = nn.Linear(spec.dim, dim), nn.Linear(dim, dim)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=spec.std, a=-2 * spec.std, b=2 * spec.std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def prepare(self, condition: Any, batch: int | None, device: torch.device) -> Tensor:
        """Features packed to the left, with one more channel that is 1 where there is a token, (B, T, E + 1).

        Takes features (B, T, E), a pair of them and a mask (B, T) that is true at tokens, None (no caption for anybody), or
        what it made before. One caption stands for the whole batch.
        """
        return counted(self._packed(condition), batch).to(device, self.empty.dtype)

    def _packed(self, condition: Any) -> Tensor:
        condition = self.empty.detach()[None] if condition is None else condition
        if isinstance(condition, Tensor) and condition.ndim == 3 and condition.shape[2] == self.spec.dim + 1:
            return condition
        features, mask = encoded(condition, self.spec.dim, self.spec.length)
        order = mask.long().argsort(dim=1, stable=True, descending=True)  # the tokens as they come, then padding
        features = torch.where(mask[..., None], features, 0).gather(1, order[..., None].expand_as(features))
        packed = torch.cat([features, mask.gather(1, order)[..., None].to(features)], dim=-1)
        return packed[:, : int(mask.sum(1).max())]

    def forward(self, prepared: Tensor, drop: bool = False) -> Conditioning:
        """One slot a sample, the vector, and what is read."""
        features, audible = prepared[..., :-1], prepared[..., -1] > 0
        if drop and self.spec.dropout:
            dropped = torch.rand(len(prepared), 1, 1, device=prepared.device) < self.spec.dropout
            features = torch.where(dropped, self.empty[: features.shape[1]], features)
        normed = self.norm(features)
        pooled = self.pool(Source(normed, Mask(dense=audible[:, None, None])))
        heard = self.fc2(F.gelu(self.fc1(normed), approximate="tanh"))
        return Conditioning(pooled[:, None], pooled, heard=heard, audible=audible)

    def null(self, prepared: Tensor) -> Conditioning:
        """No caption, in as many tokens as each has."""
        return self.forward(uncaptioned(self.empty, prepared))


@dataclass(frozen=True)
class Attended(Condition):
    """Up to `length` features of width `dim` a caption (2048: Flan-T5-XL), pooled by `heads` heads.

    In training a fraction `dropout` of the captions is replaced by none. `eps` is that of the norm, `std` of the initial matrices. Where
    it is not `learned`, the table of no caption stays as it was drawn.
    """

    dim: int = 2048
    length: int = 512
    heads: int = 16
    dropout: float = 0.1
    std: float = 0.02
    eps: float = 1e-6
    learned: bool = True

    def __post_init__(self) -> None:
        if min(self.dim, self.length, self.heads) < 1:
            raise UsageError(f"{self}: dim, length and heads must be at least 1")

    @property
    def slots(self) -> int:
        """One, the start token."""
        return 1

    @property
    def vector(self) -> bool:
        """The same vector."""
        return True

    @property
    def heard(self) -> bool:
        """Every feature."""
        return True

    def of(self, labels: Tensor, captions: Sequence[str]) -> Any:
        """Raises UsageError: a batch has captions as strings, and this condition needs them encoded."""
        raise UsageError(
            "condition Attended needs encoded captions, which training data do not hold; "
            "encode them with the text encoder and pass their features to the model's loss"
        )

    def build(self, dim: int) -> AttendedModule:
        """The module for width `dim`, which `heads` must divide."""
        return AttendedModule(self, dim)
