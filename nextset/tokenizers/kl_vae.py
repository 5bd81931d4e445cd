"""KL-VAE tokenizer: a convolutional autoencoder whose sites are vectors drawn from a normal distribution kept near the standard one.

AutoencoderKL of latent diffusion (Rombach et al. 2022, arXiv 2112.10752), in the form MAR (arXiv 2406.11838) trained it: 16 channels a
site of 16x16 pixels. Legend: B batch, C image channels, N sites, Z channels of a site, h, w the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Continuous, Layout, Tokens, grid
from ..nn.conv import Decoder, Encoder
from ..nn.posterior import Posterior
from ..nn.precision import at_least_float32
from ..noise import mix
from .base import TokenizerModule
from .convolutional import Convolutional

RATE = 0.01  # how fast the running moment of latents follows a batch


class KLVAEModule(TokenizerModule):
    """Encoder, decoder, and 1x1 convolutions to the moments and from the latents.

    Tokens are latents times `scale`, so that they have about unit variance. `encode` gives the posterior's mean; generators train on
    `drawn`, a sample of it, as latent diffusion does: the mean of that is what `encode` gives, and it is what decoding was trained on.
    """

    moment: Tensor

    def __init__(self, spec: KLVAE) -> None:
        super().__init__()
        self.spec = spec
        net = (spec.width, spec.multipliers, spec.blocks)
        self.encoder = Encoder(
            spec.channels, *net, out=2 * spec.dim, groups=spec.groups, attention=(-1,) if spec.attention else ()
        )
        self.moments = nn.Conv2d(2 * spec.dim, 2 * spec.dim, 1)
        self.widen = nn.Conv2d(spec.dim, spec.dim, 1)
        self.decoder = Decoder(spec.dim, *net, channels=spec.channels, groups=spec.groups, attention=())
        if spec.scale is None:
            self.register_buffer("moment", torch.ones(()))

    @property
    def scale(self) -> float | Tensor:
        """What latents are multiplied by: given, or one over the deviation that training saw."""
        return self.moment.rsqrt() if self.spec.scale is None else self.spec.scale

    def posterior(self, images: Tensor) -> Posterior:
        """The distribution of the latents (B, Z, h, w). Raises UsageError for images that do not fit."""
        return Posterior.of(self.moments(self.encoder(self.spec.fitting(images).to(self.moments.weight.dtype))))

    def paint(self, latents: Tensor) -> Tensor:
        """Images (B, C, H, W) of unscaled latents (B, Z, h, w), with gradient."""
        return self.decoder(self.widen(latents.to(self.widen.weight.dtype)))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tokens:
        """The scaled means (B, N, Z) on a grid."""
        return self._tokens(self.posterior(images).mean)

    @torch.no_grad()
    def drawn(self, images: Tensor, layout: Layout, seed: int) -> Tokens:
        """Scaled latents (B, N, Z), one sample of the posterior a picture."""
        posterior = self.posterior(images)
        generator = torch.Generator().manual_seed(mix(seed, "posterior"))
        eps = torch.randn(posterior.mean.shape, generator=generator)
        return self._tokens(posterior.sample(eps.to(posterior.mean)))

    def _tokens(self, latents: Tensor) -> Tokens:
        scaled = latents * self.scale
        return Tokens(scaled.flatten(2).transpose(1, 2), grid(*latents.shape[2:]))

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


@dataclass(frozen=True)
class KLVAE(Convolutional):
    """Vectors of `dim` numbers.

    Level i of both nets has width * multipliers[i] channels in `groups` normalisation groups and `blocks` residual blocks (the decoder
    one more); a site covers 2^(levels - 1) pixels a side. `attention` is the encoder's at its lowest level, beside that in the middle
    of both. `scale` makes latents tokens of unit variance; None: it is measured in training. `beta` weighs the divergence.
    """

    dim: int = 16
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    groups: int = 32
    channels: int = 3
    attention: bool = True
    scale: float | None = 0.2325
    beta: float = 1e-6

    def __post_init__(self) -> None:
        self.check(self.dim)
        if self.beta < 0 or (self.scale is not None and self.scale <= 0):
            raise UsageError(f"{self}: beta must not be negative, and scale above 0 or None")

    @property
    def unit(self) -> Continuous:
        """A vector."""
        return Continuous(self.dim)

    def build(self) -> KLVAEModule:
        """The module, with fresh weights."""
        return KLVAEModule(self)
