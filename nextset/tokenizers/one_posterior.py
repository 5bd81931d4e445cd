"""What variational autoencoders share: sites are vectors drawn from a normal distribution kept near the standard one.

Legend: B batch, C image channels, N sites, Z channels of a site, ... the axes of the layout: (h, w) of a grid, (N,) of a line.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layout import Layout, Tokens
from ..nn.posterior import Posterior
from ..nn.precision import at_least_float32
from ..noise import mix
from .base import TokenizerModule

RATE = 0.01  # how fast the running moment of latents follows a batch


class Variational(Protocol):
    """What is read of a spec."""

    @property
    def scale(self) -> float | None:
        """What makes latents tokens of unit variance; None: it is measured in training."""

    @property
    def beta(self) -> float:
        """The weight of the divergence."""

    def layout(self, size: tuple[int, int]) -> Layout:
        """The sites of an image of `size` (height, width)."""


class OnePosterior(TokenizerModule):
    """Leaves say what distribution a picture has, and what picture latents make.

    Tokens are latents times `scale`, so that they have about unit variance. `encode` gives the posterior's mean; generators train on
    `drawn`, a sample of it, as latent diffusion does: the mean of that is what `encode` gives, and it is what decoding was trained on.
    """

    moment: Tensor

    def __init__(self, spec: Variational) -> None:
        super().__init__()
        self.spec = spec
        if spec.scale is None:
            self.register_buffer("moment", torch.ones(()))

    @abstractmethod
    def posterior(self, images: Tensor) -> Posterior:
        """The distribution of the latents (B, Z, ...). Raises UsageError for images that do not fit."""

    @abstractmethod
    def paint(self, latents: Tensor) -> Tensor:
        """Images (B, C, H, W) of unscaled latents (B, Z, ...), with gradient."""

    @property
    def scale(self) -> float | Tensor:
        """What latents are multiplied by: given, or one over the deviation that training saw."""
        return self.moment.rsqrt() if self.spec.scale is None else self.spec.scale

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tokens:
        """The scaled means (B, N, Z)."""
        return self._tokens(self.posterior(images).mean, images)

    @torch.no_grad()
    def drawn(self, images: Tensor, layout: Layout, seed: int) -> Tokens:
        """Scaled latents (B, N, Z), one sample of the posterior a picture."""
        posterior = self.posterior(images)
        generator = torch.Generator().manual_seed(mix(seed, "posterior"))
        eps = torch.randn(posterior.mean.shape, generator=generator)
        return self._tokens(posterior.sample(eps.to(posterior.mean)), images)

    def _tokens(self, latents: Tensor, images: Tensor) -> Tokens:
        scaled = latents * self.scale
        layout = self.spec.layout((images.shape[-2], images.shape[-1]))
        return Tokens(scaled.flatten(2).transpose(1, 2), layout)

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W), not clamped."""
        latents = at_least_float32(tokens.data).transpose(1, 2).unflatten(2, tokens.layout.shape)
        return self.paint(latents / self.scale)

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """ "loss" = "pixel" (mean squared error) + beta "kl" (nats a value of the image); "deviation" of latents; "reconstruction".

        The reconstruction (B, C, H, W) is that of a sample drawn with torch's own generator, and carries its gradient: adversarial
        and perceptual terms are added to the loss by the caller. In training mode a measured scale follows the latents.
        """
        posterior = self.posterior(images)
        reconstruction = self.paint(posterior.sample(torch.randn_like(posterior.mean)))
        pixel = F.mse_loss(reconstruction.float(), images.float())
        divergence = posterior.divergence().mean() / images[0].numel()
        moment = posterior.second_moment().detach()
        if self.training and self.spec.scale is None:
            self.moment.lerp_(moment.to(self.moment.dtype), RATE)
        return {
            "loss": pixel + self.spec.beta * divergence,
            "pixel": pixel.detach(),
            "kl": divergence.detach(),
            "deviation": moment.sqrt(),
            "reconstruction": reconstruction,
        }
