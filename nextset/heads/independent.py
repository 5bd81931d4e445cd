"""The codes of a token side by side: each has a softmax of its own, and given the hidden vector they are independent.

For bits this is Infinity's bitwise classifier (arXiv 2412.04431): d two-way softmaxes of 2 d logits say what one softmax over 2^d ids
would need a matrix of 2^d rows for. The logits of a code lie together. Legend: B batch, n sites asked for, Q codes a site, D width, V
vocabulary.
"""

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


class IndependentModule(HeadModule):
    """One matrix for the logits of all codes."""

    def __init__(self, dim: int, unit: Discrete, std: float) -> None:
        super().__init__()
        self.codes = unit.codes
        self.project = nn.Linear(dim, unit.codes * unit.vocab)
        nn.init.normal_(self.project.weight, std=std)
        nn.init.zeros_(self.project.bias)

    def logits(self, hidden: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """(B, n, Q, V) in at least float32; both halves of guidance in one product."""
        if unguided is None:
            return at_least_float32(self.project(hidden)).unflatten(-1, (self.codes, -1))
        conditional, other = self.logits(torch.cat([hidden, unguided])).chunk(2)
        return other.lerp(conditional, scale)

    def draw(self, noise: Noise, sites: int) -> Tensor:
        """One uniform number a code, (B, sites, Q)."""
        return noise.uniform(sites, self.codes)

    def losses(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Cross entropy in nats of every code, (B, n, Q)."""
        return -self.log_probs(hidden, target)

    def log_probs(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """ln p of every code, (B, n, Q)."""
        logits = self.logits(hidden, unguided, scale)
        return -F.cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none").view(target.shape)

    def loss(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Cross entropy in nats, summed over the codes, (B, n)."""
        return self.losses(hidden, target).sum(-1)

    def log_prob(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """(B, n)."""
        return self.log_probs(hidden, target, unguided, scale).sum(-1)

    def sample(self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Ids (B, n, Q)."""
        return pick(self.logits(hidden, unguided, scale), drawn)


@dataclass(frozen=True)
class Independent(Head):
    """`std` is that of the initial output matrix; 0 starts from the uniform distribution."""

    std: float = 0.0

    def build(self, dim: int, unit: Unit, codec: Codec) -> IndependentModule:
        """The output matrix."""
        if not isinstance(unit, Discrete) or unit.codes == 1:
            raise UsageError(
                f"head Independent needs several ids a site, but this tokenizer gives {unit}; use Categorical"
            )
        return IndependentModule(dim, unit, self.std)
