"""The normal distribution with a diagonal covariance that a variational autoencoder encodes a picture into (Kingma and Welling 2013).

In at least float32. Legend: B batch, C channels, h, w a map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .precision import at_least_float32

LOG_RANGE = (-30.0, 20.0)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Its `mean` and ln of its variance, `log`, each (B, C, h, w)."""

    mean: Tensor
    log: Tensor

    @staticmethod
    def of(moments: Tensor) -> Posterior:
        """Of a network's map (B, 2 C, h, w): means, then ln of variances, which are cut to e^-30 .. e^20."""
        mean, log = at_least_float32(moments).chunk(2, dim=1)
        return Posterior(mean, log.clamp(*LOG_RANGE))

    def sample(self, eps: Tensor) -> Tensor:
        """One draw from standard normal numbers (B, C, h, w)."""
        return self.mean + (0.5 * self.log).exp() * eps

    def divergence(self) -> Tensor:
        """KL from the standard normal, nats a picture, (B,)."""
        return 0.5 * (self.mean.square() + self.log.exp() - 1 - self.log).flatten(1).sum(1)

    def second_moment(self) -> Tensor:
        """The mean square of what is drawn, over everything, a scalar."""
        return torch.mean(self.mean.square() + self.log.exp())
