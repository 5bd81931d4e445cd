"""What every head promises: the distribution of one token given its hidden vector.

Legend: B batch, n sites asked for, D width, V vocabulary, Q codes, C latent channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from ..layout import Unit
from ..noise import Noise
from ..spec import Spec


class Picker(Protocol):
    """How a distribution is sharpened and drawn (see decode/pick.py)."""

    @property
    def temperature(self) -> float:
        """1 draws from the model, 0 takes the most likely."""

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Ids (...) drawn from logits (..., V) with one uniform number each (...)."""


class HeadModule(nn.Module, ABC):
    """Scores and draws tokens."""

    @abstractmethod
    def draw(self, noise: Noise, sites: int) -> Tensor:
        """All random numbers that drawing `sites` tokens of each sample takes, (B, sites, ...)."""

    @abstractmethod
    def loss(self, hidden: Tensor, target: Tensor) -> Tensor:
        """What training minimises, one number a site (B, n), for hidden (B, n, D) and target tokens (B, n, ...)."""

    @abstractmethod
    def log_prob(self, hidden: Tensor, target: Tensor) -> Tensor:
        """ln p(target), (B, n). Raises UsageError where the head has no tractable density."""

    @abstractmethod
    def sample(self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Tokens (B, n, ...) from hidden (B, n, D), guided by u + scale (c - u) against `unguided` where that is given."""


@dataclass(frozen=True)
class Head(Spec, ABC):
    """Describes a head."""

    @abstractmethod
    def build(self, dim: int, unit: Unit) -> HeadModule:
        """The module for hidden width `dim`. Raises UsageError where the head cannot express the tokenizer's unit."""
