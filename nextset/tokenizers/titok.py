"""TiTok (Yu et al. 2024, arXiv 2406.07550): a picture as a short line of ids, none of which belongs to a place of it.

This is the form that is trained in one stage, on pixels. Nets see pixels in [0, 1]. Legend: B batch, C image channels, N sites, D width
of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Discrete
from ..nn.codebook import Codebook
from .one_codebook import OneCodebook
from .slotted import BASE, LARGE, PatchPainter, SlotDecoder, SlotEncoder, Slotted, ViT


class TiTokModule(OneCodebook):
    """Encoder, codebook, decoder, linear maps from and to the width of a code, and what paints pixels."""

    spec: TiTok

    def __init__(self, spec: TiTok) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = SlotEncoder(spec.encoder, spec.side, spec.sites, spec.channels)
        self.narrow = nn.Linear(spec.encoder.dim, spec.dim)
        self.codebook = Codebook(spec.vocab, spec.dim, spec.beta, spec.normalise)
        self.widen = nn.Linear(spec.dim, spec.decoder.dim)
        self.decoder = SlotDecoder(spec.decoder, spec.side, spec.sites)
        self.painter = PatchPainter(spec.decoder, spec.channels)
        spec.encoder.start(self.encoder, self.narrow)
        spec.decoder.start(self.widen, self.decoder, self.painter)

    def latents(self, images: Tensor) -> Tensor:
        """What the codebook quantises, (B, N, D), not yet normalised. Raises UsageError for images that do not fit."""
        pixels = (self.spec.fitting(images) + 1) / 2
        return self.narrow(self.encoder(pixels.to(self.narrow.weight.dtype)))

    def paint(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) of codes (B, N, D), with gradient."""
        return self.painter(self.decoder(self.widen(codes.to(self.widen.weight.dtype)))) * 2 - 1


@dataclass(frozen=True)
class TiTok(Slotted):
    """`vocab` codes of width `dim` on `sites` sites, for square images of `side` pixels.

    `normalise` compares on the unit sphere; `beta` weighs the commitment of latents to their codes.
    """

    vocab: int
    dim: int
    sites: int
    side: int = 256
    encoder: ViT = BASE
    decoder: ViT = LARGE
    channels: int = 3
    beta: float = 0.25
    normalise: bool = False

    def __post_init__(self) -> None:
        self.check(self.dim)
        if self.vocab < 2:
            raise UsageError(f"{self}: vocab must be at least 2")

    @property
    def unit(self) -> Discrete:
        """One id of `vocab`."""
        return Discrete(self.vocab)

    def build(self) -> TiTokModule:
        """The module, with fresh weights."""
        return TiTokModule(self)
