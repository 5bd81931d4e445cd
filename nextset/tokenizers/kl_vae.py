"""KL-VAE tokenizer: a convolutional autoencoder whose sites are vectors drawn from a normal distribution kept near the standard one.

AutoencoderKL of latent diffusion (Rombach et al. 2022, arXiv 2112.10752), in the form MAR (arXiv 2406.11838) trained it: 16 channels a
site of 16x16 pixels. Legend: B batch, C image channels, N sites, Z channels of a site, h, w the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Continuous
from ..nn.conv import Decoder, Encoder, attended
from ..nn.posterior import Posterior
from .convolutional import Convolutional
from .one_posterior import OnePosterior


class KLVAEModule(OnePosterior):
    """Encoder, decoder, and 1x1 convolutions to the moments and from the latents."""

    spec: KLVAE

    def __init__(self, spec: KLVAE) -> None:
        super().__init__(spec)
        net = (spec.width, spec.multipliers, spec.blocks)
        self.encoder = Encoder(spec.channels, *net, out=2 * spec.dim, groups=spec.groups, attention=spec.attention)
        self.moments = nn.Conv2d(2 * spec.dim, 2 * spec.dim, 1)
        self.widen = nn.Conv2d(spec.dim, spec.dim, 1)
        self.decoder = Decoder(spec.dim, *net, channels=spec.channels, groups=spec.groups, attention=())

    def posterior(self, images: Tensor) -> Posterior:
        """The distribution of the latents (B, Z, h, w). Raises UsageError for images that do not fit."""
        return Posterior.of(self.moments(self.encoder(self.spec.fitting(images).to(self.moments.weight.dtype))))

    def paint(self, latents: Tensor) -> Tensor:
        """Images (B, C, H, W) of unscaled latents (B, Z, h, w), with gradient."""
        return self.decoder(self.widen(latents.to(self.widen.weight.dtype)))


@dataclass(frozen=True)
class KLVAE(Convolutional):
    """Vectors of `dim` numbers.

    Level i of both nets has width * multipliers[i] channels in `groups` normalisation groups and `blocks` residual blocks (the decoder
    one more); a site covers 2^(levels - 1) pixels a side. `attention` lists the encoder's levels (from the end where negative) that
    have it, beside the middle of both. `scale` makes latents tokens of unit variance; None: it is measured in training. `beta` weighs the divergence.
    """

    dim: int = 16
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    groups: int = 32
    channels: int = 3
    attention: tuple[int, ...] = (-1,)
    scale: float | None = 0.2325
    beta: float = 1e-6

    def __post_init__(self) -> None:
        self.check(self.dim)
        attended(self.attention, len(self.multipliers))
        if self.beta < 0 or (self.scale is not None and self.scale <= 0):
            raise UsageError(f"{self}: beta must not be negative, and scale above 0 or None")

    @property
    def unit(self) -> Continuous:
        """A vector."""
        return Continuous(self.dim)

    def build(self) -> KLVAEModule:
        """The module, with fresh weights."""
        return KLVAEModule(self)
