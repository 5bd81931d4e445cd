"""MaskGIT's VQGAN (Chang et al. 2022, arXiv 2202.04200): attention-free convolutional nets around a plain, wide codebook.

Codes are what the encoder gives, without a projection and without normalisation; the nets see pixels in [0, 1]. The published
weights, from open-muse by way of 1d-tokenizer, have 1,024 codes of width 256 at 16 pixels a side. Legend: B batch, C image channels,
N sites, D width of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..layout import Discrete
from ..nn.codebook import Codebook
from ..nn.plain_conv import PlainDecoder, PlainEncoder
from .convolutional import Convolutional
from .one_codebook import OneCodebook


class MaskGITVQModule(OneCodebook):
    """Encoder, codebook, decoder."""

    spec: MaskGITVQ

    def __init__(self, spec: MaskGITVQ) -> None:
        super().__init__()
        self.spec = spec
        net = (spec.width, spec.multipliers, spec.blocks)
        self.encoder = PlainEncoder(spec.channels, *net, out=spec.dim, groups=spec.groups)
        self.codebook = Codebook(spec.vocab, spec.dim, spec.beta, normalise=False)
        self.decoder = PlainDecoder(spec.dim, *net, channels=spec.channels, groups=spec.groups)

    def latents(self, images: Tensor) -> Tensor:
        """What the codebook quantises, (B, h, w, D). Raises UsageError for images that do not fit."""
        pixels = ((self.spec.fitting(images) + 1) / 2).to(self.encoder.conv_out.weight.dtype)
        return self.encoder(pixels).movedim(1, -1)

    def paint(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) of codes (B, h, w, D), with gradient."""
        return self.decoder(codes.movedim(-1, 1).to(self.decoder.conv_out.weight.dtype)) * 2 - 1


@dataclass(frozen=True)
class MaskGITVQ(Convolutional):
    """`vocab` codes of width `dim`.

    Level i of both nets has width * multipliers[i] channels in `groups` normalisation groups and `blocks` residual blocks; a site
    covers 2^(levels - 1) pixels a side. `beta` weighs the commitment of latents to their codes.
    """

    vocab: int = 1024
    dim: int = 256
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    groups: int = 32
    channels: int = 3
    beta: float = 0.25

    def __post_init__(self) -> None:
        self.check(self.dim, vocab=self.vocab)

    @property
    def unit(self) -> Discrete:
        """One id of `vocab`."""
        return Discrete(self.vocab)

    def build(self) -> MaskGITVQModule:
        """The module, with fresh weights."""
        return MaskGITVQModule(self)
