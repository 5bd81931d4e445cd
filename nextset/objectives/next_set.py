"""The plain objective of the field: the mean over sites of the head's loss, teacher-forced.

For a tractable head it is the negative log-likelihood in nats per site (of the order drawn, where the order is random).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..layout import Tokens
from .base import Objective, Scorer


@dataclass(frozen=True)
class NextSet(Objective):
    """mean over sites of -ln p(x[S_k] | x[S_<k], c)."""

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """{"loss": scalar}."""
        return {"loss": network.site_losses(tokens, condition, seed, progress=progress).mean()}
