"""What every head promises: the distribution of one token given its hidden vector.

Legend: B batch, n sites asked for, D width, V vocabulary, Q codes, C latent channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from ..layout import Codec, Unit
from ..noise import Noise
from ..spec import Spec


class Picker(Protocol):
    """How a distribution is sharpened and drawn (see decode/pick.py)."""

    @property
    def temperature(self) -> float:
        """1 draws from the model, 0 takes the most likely."""

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Ids (...) drawn from logits (..., V) with one uniform number each (...)."""


@dataclass(frozen=True)
class Noisy:
    """Noisy versions of the tokens that a step predicts: `values` (B, n, C) and their noise level in [0, 1], (B, n), 1 all noise.

    They lie in the blank slots of a call, in their order.
    """

    values: Tensor
    level: Tensor


class Ask(Protocol):
    """Runs the network for the sites of one step; a step may ask again."""

    def __call__(self, noisy: Noisy | None = None, read: Read | None = None) -> tuple[Tensor, Tensor | None]:
        """Hidden vectors (B, n, D), and unguided ones where the step is guided.

        `noisy` goes into the blank slots of wirings that take it; `read` draws the codes of a token on the way through a backbone
        that reads them out one after the other.
        """


Read = Callable[[int, Tensor, Tensor | None], Tensor]  # (code, hidden, unguided) to ids (B, n)


class HeadModule(nn.Module, ABC):
    """Scores and draws tokens."""

    def tie(self, table: Callable[[], Tensor]) -> None:
        """Offers the table of token vectors (V, D) that the wiring embeds with, for heads that share it. Called once, after building.

        A head keeps the function, never the table: that is the wiring's. Raises UsageError where it cannot share it.
        """

    @abstractmethod
    def draw(self, noise: Noise, sites: int) -> Tensor:
        """All random numbers that drawing `sites` tokens of each sample takes, (B, sites, ...)."""

    @abstractmethod
    def loss(self, hidden: Tensor, target: Tensor) -> Tensor:
        """What training minimises, one number a site (B, n), for hidden (B, n, D) and target tokens (B, n, ...)."""

    @abstractmethod
    def log_prob(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """ln p(target), (B, n), guided as in `sample`. Raises UsageError where the head has no tractable density."""

    @abstractmethod
    def sample(self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Tokens (B, n, ...) from hidden (B, n, D), guided by u + scale (c - u) against `unguided` where that is given."""

    def rated(
        self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker
    ) -> tuple[Tensor, Tensor]:
        """What `sample` gives, and how sure the head is of each token, (B, n), for orders that keep the surest.

        That is ln p, unless the head says otherwise. Raises UsageError where the head has no tractable density.
        """
        tokens = self.sample(hidden, unguided, scale, drawn, pick)
        return tokens, self.log_prob(hidden, tokens, unguided, scale)

    def answer(self, ask: Ask, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """The tokens of one step: asked once and sampled, unless the head is of another mind."""
        hidden, unguided = ask()
        return self.sample(hidden, unguided, scale, drawn, pick)


@dataclass(frozen=True)
class Head(Spec, ABC):
    """Describes a head."""

    def readouts(self, unit: Unit) -> int:
        """How many readouts of a backbone it needs: one, unless it draws the codes of a token on the way."""
        return 1

    @abstractmethod
    def build(self, dim: int, unit: Unit, codec: Codec) -> HeadModule:
        """The module for hidden width `dim`. Raises UsageError where the head cannot express the tokenizer's unit."""
