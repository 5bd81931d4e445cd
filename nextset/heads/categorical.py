"""Categorical head: one linear map to the logits of a token, of its own or tied to the table of tokens (`Tied`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Codec, Discrete, Unit
from ..nn.borrowed import Borrowed
from ..nn.precision import at_least_float32
from ..noise import Noise
from .base import Head, HeadModule, Picker


class CategoricalModule(HeadModule):
    """A softmax over what `project` makes of (..., D), the logits (..., V)."""

    def __init__(self, project: nn.Module, smoothing: float = 0.0) -> None:
        super().__init__()
        self.project, self.smoothing = project, smoothing

    def tie(self, table: Callable[[], Tensor]) -> None:
        """Takes the table where it has no matrix of its own."""
        if isinstance(self.project, Borrowed):
            self.project.borrow(table)

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
        """Cross entropy in nats, of the shape of `target`, against targets of which `smoothing` is spread over the vocabulary."""
        return self._cross_entropy(self.logits(hidden), target, self.smoothing)

    def log_prob(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """(B, n); of targets (B, n, m), several ids of one distribution, (B, n, m)."""
        return -self._cross_entropy(self.logits(hidden, unguided, scale), target, 0.0)

    def _cross_entropy(self, logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
        if target.ndim == logits.ndim:
            log_probs = logits.log_softmax(-1)
            return -(log_probs.gather(-1, target) * (1 - smoothing) + log_probs.mean(-1, keepdim=True) * smoothing)
        flat = logits.flatten(0, -2), target.flatten()
        return F.cross_entropy(*flat, reduction="none", label_smoothing=smoothing).view(target.shape)

    def sample(self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Ids (B, n)."""
        return pick(self.logits(hidden, unguided, scale), drawn)

    def rated(
        self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker
    ) -> tuple[Tensor, Tensor]:
        """Ids (B, n) and their guided logits: raw, as MaskGIT's generators compare them, not ln p."""
        logits = self.logits(hidden, unguided, scale)
        ids = pick(logits, drawn)
        return ids, logits.gather(-1, ids[..., None])[..., 0]


@dataclass(frozen=True)
class Categorical(Head):
    """`std` is that of the initial output matrix; 0 starts from the uniform distribution, as LlamaGen does.

    In training a part `smoothing` of each target is spread evenly over the vocabulary.
    """

    bias: bool = False
    std: float = 0.0
    smoothing: float = 0.0

    def build(self, dim: int, unit: Unit, codec: Codec) -> CategoricalModule:
        """The output matrix."""
        if not isinstance(unit, Discrete) or unit.codes != 1:
            raise UsageError(f"head Categorical needs one id a site, but this tokenizer gives {unit}")
        project = nn.Linear(dim, unit.vocab, bias=self.bias)
        nn.init.normal_(project.weight, std=self.std)
        if self.bias:
            nn.init.zeros_(project.bias)
        return CategoricalModule(project, self.smoothing)
