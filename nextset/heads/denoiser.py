"""What heads promise whose step is denoised by the whole network: they ask it again and again, with noisy tokens in its blank slots.

Such a head is one linear map: the backbone is the denoiser. Objectives (objectives/denoising.py) add the noise and score the map;
`answer` runs a solver. There is no density, and one answer of the network is no distribution to sample from.

Legend: B batch, K steps of a plan, n sites, C channels of a token, D width.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..nn.precision import at_least_float32
from .base import Ask, HeadModule, Noisy, Picker


class DenoiserModule(HeadModule):
    """A map from hidden vectors to what the noise does to a token."""

    def __init__(self, dim: int, channels: int, std: float) -> None:
        super().__init__()
        self.channels = channels
        self.project = nn.Linear(dim, channels)
        nn.init.normal_(self.project.weight, std=std)
        nn.init.zeros_(self.project.bias)

    @abstractmethod
    def levels(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Noise levels of training in [0, 1], with shape and device of `like`."""

    @abstractmethod
    def noised(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Tokens (B, n, C) with standard normal `noise` of a level (B, n) in them."""

    @abstractmethod
    def wanted(self, clean: Tensor, noise: Tensor) -> Tensor:
        """What the map should say of such tokens, (B, n, C)."""

    def says(self, hidden: Tensor) -> Tensor:
        """(B, n, D) to (B, n, C), in at least float32."""
        return at_least_float32(self.project(hidden))

    def asked(self, ask: Ask, scale: float, values: Tensor, level: float) -> Tensor:
        """What the map says of tokens (B, n, C) at one level, guided where the step is."""
        noisy = Noisy(values, torch.full(values.shape[:2], level, dtype=torch.float32, device=values.device))
        hidden, unguided = ask(noisy)
        if unguided is None:
            return self.says(hidden)
        conditional, other = self.says(torch.cat([hidden, unguided])).chunk(2)
        return other.lerp(conditional, scale)

    def loss(self, hidden: Tensor, target: Tensor) -> Tensor:
        """The mean squared error a site (B, n) against what is `wanted`, (B, n, C)."""
        return (self.says(hidden) - target).square().mean(-1)

    def log_prob(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """Raises UsageError: there is no tractable density."""
        raise UsageError(f"head {self._name} has no tractable density, so images have no likelihood under it")

    def sample(self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Raises UsageError: a token takes several answers of the network."""
        raise UsageError(f"head {self._name} asks the network several times for one token; draw with Model.generate")

    @property
    def _name(self) -> str:
        return type(self).__name__.removesuffix("Module")
