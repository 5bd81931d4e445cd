"""What every objective promises: a scalar loss of a batch of tokens under a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..layout import Tokens
from ..spec import Spec


class Scorer(Protocol):
    """What an objective may ask of a network."""

    def site_losses(self, tokens: Tokens, condition: Tensor, seed: int, drop: bool = True) -> Tensor:
        """The head's loss at every site, (B, N), teacher-forced in an order drawn from `seed`; `drop` drops conditions."""


@dataclass(frozen=True)
class Objective(Spec, ABC):
    """Describes what training minimises."""

    @abstractmethod
    def loss(self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int) -> dict[str, Tensor]:
        """The scalar to minimise under "loss", beside scalars worth logging; `condition` as the condition part prepared it."""
