"""VQ tokenizer of the VQGAN family: convolutional encoder, one codebook, convolutional decoder.

VQGAN (Esser et al. 2021, arXiv 2012.09841) with the narrow, l2-normalised codebook of LlamaGen (Sun et al. 2024, arXiv
2406.06525), whose published weights it loads. Legend: B batch, C image channels, N sites, D width of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..layout import Discrete
from ..nn.codebook import Codebook
from ..nn.conv import Decoder, Encoder
from .convolutional import Convolutional
from .one_codebook import OneCodebook


class VQModule(OneCodebook):
    """Encoder, codebook, decoder, and 1x1 convolutions from and to the width of a code."""

    spec: VQ

    def __init__(self, spec: VQ) -> None:
        super().__init__()
        self.spec = spec
        net = (spec.width, spec.multipliers, spec.blocks)
        self.encoder = Encoder(spec.channels, *net, out=spec.latent, groups=spec.groups)
        self.narrow = nn.Conv2d(spec.latent, spec.dim, 1)
        self.codebook = Codebook(spec.vocab, spec.dim, spec.beta, spec.normalise)
        self.widen = nn.Conv2d(spec.dim, spec.latent, 1)
        self.decoder = Decoder(spec.latent, *net, channels=spec.channels, groups=spec.groups)

    def latents(self, images: Tensor) -> Tensor:
        """What the codebook quantises, (B, h, w, D), not yet normalised. Raises UsageError for images that do not fit."""
        return self.narrow(self.encoder(self.spec.fitting(images).to(self.narrow.weight.dtype))).movedim(1, -1)

    def paint(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) of codes (B, h, w, D), with gradient."""
        return self.decoder(self.widen(codes.movedim(-1, 1).to(self.widen.weight.dtype)))


@dataclass(frozen=True)
class VQ(Convolutional):
    """`vocab` codes of width `dim`.

    Level i of both nets has width * multipliers[i] channels in `groups` normalisation groups and `blocks` residual blocks
    (the decoder one more); a site covers 2^(levels - 1) pixels a side. `latent` channels lie between the nets and the codes.
    `normalise` compares on the unit sphere; `beta` weighs the commitment of latents to their codes.
    """

    vocab: int
    dim: int
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    latent: int = 256
    groups: int = 32
    channels: int = 3
    beta: float = 0.25
    normalise: bool = True

    def __post_init__(self) -> None:
        self.check(self.dim, self.latent, vocab=self.vocab)

    @property
    def unit(self) -> Discrete:
        """One id of `vocab`."""
        return Discrete(self.vocab)

    def build(self) -> VQModule:
        """The module, with fresh weights."""
        return VQModule(self)
