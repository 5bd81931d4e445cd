"""Categorical head: one linear map to the logits of a token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Codec, Discrete, Unit
from ..nn.precision import at_least_float32
from ..noise import Noise
from .base import Head, HeadModule, Picker


class CategoricalModule(HeadModule):
    """The output matrix."""

    def __init__(self, dim: int, vocab: int, bias: bool, std: float) -> None:
        super().__init__()
        self.project = nn.Linear(dim, vocab, bias=bias)
        nn.init.normal_(self.project.weight, std=std)
        if bias:
            nn.init.zeros_(self.project.bias)

    def logits(self, hidden: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """(B, n, V) in at least float32; both halves of guidance in one product, since reading the matrix is what costs."""
        if unguided is None:
            return at_least_float32(self.project(hidden))
        conditional, other = self.logits(torch.cat([hidden, unguided])).chunk(2)
        return other.lerp(conditional, scale)

    def draw(self, noise: Noise, sites: int) -> Tensor:
        """One uniform number a site."""
        return noise.uniform(sites)

    def loss(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Cross entropy in nats, of the shape of `target`."""
        return -self.log_prob(hidden, target)

    def log_prob(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """(B, n); of targets (B, n, m), several ids of one distribution, (B, n, m)."""
        logits = self.logits(hidden, unguided, scale)
        if target.ndim == logits.ndim:
            return logits.log_softmax(-1).gather(-1, target)
        return -F.cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none").view(target.shape)

    def sample(self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Ids (B, n)."""
        return pick(self.logits(hidden, unguided, scale), drawn)


@dataclass(frozen=True)
class Categorical(Head):
    """`std` is that of the initial output matrix; 0 starts from the uniform distribution, as LlamaGen does."""

    bias: bool = False
    std: float = 0.0

    def build(self, dim: int, unit: Unit, codec: Codec) -> CategoricalModule:
        """The output matrix."""
        if not isinstance(unit, Discrete) or unit.codes != 1:
            raise UsageError(f"head Categorical needs one id a site, but this tokenizer gives {unit}")
        return CategoricalModule(dim, unit.vocab, self.bias, self.std)
