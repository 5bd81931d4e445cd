"""TiTok with a normal distribution in place of a codebook (Yu et al. 2024, arXiv 2406.07550): a short line of vectors.

Nets see pixels in [0, 1]. Legend: B batch, C image channels, N sites, Z channels of a site.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Continuous
from ..nn.posterior import Posterior
from .one_posterior import OnePosterior
from .slotted import BASE, LARGE, PatchPainter, SlotDecoder, SlotEncoder, Slotted, ViT


class TiTokVAEModule(OnePosterior):
    """Encoder, decoder, linear maps to the moments and from the latents, and what paints pixels."""

    spec: TiTokVAE

    def __init__(self, spec: TiTokVAE) -> None:
        super().__init__(spec)
        self.encoder = SlotEncoder(spec.encoder, spec.side, spec.sites, spec.channels)
        self.narrow = nn.Linear(spec.encoder.dim, 2 * spec.dim)
        self.widen = nn.Linear(spec.dim, spec.decoder.dim)
        self.decoder = SlotDecoder(spec.decoder, spec.side, spec.sites)
        self.painter = PatchPainter(spec.decoder, spec.channels)
        spec.encoder.start(self.encoder, self.narrow)
        spec.decoder.start(self.widen, self.decoder, self.painter)

    def posterior(self, images: Tensor) -> Posterior:
        """The distribution of the latents (B, Z, N). Raises UsageError for images that do not fit."""
        pixels = (self.spec.fitting(images) + 1) / 2
        return Posterior.of(self.narrow(self.encoder(pixels.to(self.narrow.weight.dtype))).transpose(1, 2))

    def paint(self, latents: Tensor) -> Tensor:
        """Images (B, C, H, W) of unscaled latents (B, Z, N), with gradient."""
        return self.painter(self.decoder(self.widen(latents.transpose(1, 2).to(self.widen.weight.dtype)))) * 2 - 1


@dataclass(frozen=True)
class TiTokVAE(Slotted):
    """Vectors of `dim` numbers on `sites` sites, for square images of `side` pixels.

    `scale` makes latents tokens of unit variance; None: it is measured in training. `beta` weighs the divergence: published weights had
    1e-6 nats a picture beside the mean squared error of pixels in [0, 1], which is the default's at their size.
    """

    sites: int
    dim: int = 16
    side: int = 256
    encoder: ViT = BASE
    decoder: ViT = LARGE
    channels: int = 3
    scale: float | None = 1.0
    beta: float = 0.79

    def __post_init__(self) -> None:
        self.check(self.dim)
        if self.beta < 0 or (self.scale is not None and self.scale <= 0):
            raise UsageError(f"{self}: beta must not be negative, and scale above 0 or None")

    @property
    def unit(self) -> Continuous:
        """A vector."""
        return Continuous(self.dim)

    def build(self) -> TiTokVAEModule:
        """The module, with fresh weights."""
        return TiTokVAEModule(self)
