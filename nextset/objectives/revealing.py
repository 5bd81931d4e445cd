"""Objectives that show each sample sites of its own and predict the others: what masked models are trained by. Legend: B batch, N sites."""

from __future__ import annotations

from abc import ABC

from torch import Tensor

from ..layout import Tokens
from .base import Objective, Scorer


class Revealing(Objective, ABC):
    """A leaf draws what is known, and weighs `revealed_losses`."""

    @property
    def reveals(self) -> bool:
        """Each sample has a mask of its own."""
        return True


def revealed_losses(network: Scorer, tokens: Tokens, condition: Tensor, known: Tensor) -> Tensor:
    """The head's loss at every site, (B, N), where the sites `known` (B, N) are seen; at those too."""
    return network.head.loss(network.revealed(tokens.data, known, network.conditioned(condition)), tokens.data)
