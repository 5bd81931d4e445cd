"""TiTok as it was first trained, in two stages (Yu et al. 2024, arXiv 2406.07550, section 3.3): its decoder guesses the codes of a 2-D tokenizer.

Each patch gets logits over the codes of `base`; their mean under the softmax goes into that tokenizer's decoder, which paints. Nets see
pixels in [0, 1]. Legend: B batch, C image channels, N sites, D width of a code, V codes of the base, g patches a side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Discrete
from ..nn.codebook import Codebook
from ..nn.plain_conv import PlainDecoder
from ..nn.precision import at_least_float32
from .maskgit_vq import MaskGITVQ, MaskGITVQModule
from .one_codebook import OneCodebook
from .slotted import BASE, SlotDecoder, SlotEncoder, Slotted, ViT


class ProxyPainter(nn.Module):
    """Logits over the codes of another tokenizer, those codes, and its decoder."""

    def __init__(self, dim: int, base: MaskGITVQ) -> None:
        super().__init__()
        self.rise, self.fall = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, base.vocab)
        self.codes = nn.Parameter(torch.empty(base.vocab, base.dim).uniform_(-1 / base.vocab, 1 / base.vocab))
        net = (base.width, base.multipliers, base.blocks)
        self.decoder = PlainDecoder(base.dim, *net, channels=base.channels, groups=base.groups)

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, g, g, width) to (B, g, g, V)."""
        return self.fall(self.rise(hidden).tanh())

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, g, g, width) to (B, C, H, W)."""
        shares = at_least_float32(self.logits(hidden)).softmax(-1).to(self.codes.dtype)
        return self.decoder((shares @ self.codes).movedim(-1, 1))


class ProxyTiTokModule(OneCodebook):
    """Encoder, codebook, decoder, linear maps from and to the width of a code, and what paints by way of the base.

    `loss` compares pixels. Published weights first minimised `proxy_loss`; then, with the encoder and all up to the codebook frozen and
    the base's own weights (`adopt`), the pixels' error beside a perceptual and an adversarial one.
    """

    spec: ProxyTiTok

    def __init__(self, spec: ProxyTiTok) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = SlotEncoder(spec.encoder, spec.side, spec.sites, spec.channels)
        self.narrow = nn.Linear(spec.encoder.dim, spec.dim)
        self.codebook = Codebook(spec.vocab, spec.dim, spec.beta, spec.normalise)
        self.widen = nn.Linear(spec.dim, spec.decoder.dim)
        self.decoder = SlotDecoder(spec.decoder, spec.side, spec.sites)
        self.painter = ProxyPainter(spec.decoder.dim, spec.base)
        spec.encoder.start(self.encoder, self.narrow)
        spec.decoder.start(self.widen, self.decoder, self.painter.rise, self.painter.fall)

    def latents(self, images: Tensor) -> Tensor:
        """What the codebook quantises, (B, N, D), not yet normalised. Raises UsageError for images that do not fit.

        What the encoder gives, (B, N, width), is read as if it were (B, width, N): published weights were trained with that.
        """
        pixels = (self.spec.fitting(images) + 1) / 2
        hidden = self.encoder(pixels.to(self.narrow.weight.dtype))
        return self.narrow(hidden.reshape(len(hidden), -1, self.spec.sites).transpose(1, 2))

    def hidden(self, codes: Tensor) -> Tensor:
        """What the decoder gives for codes (B, N, D), (B, g, g, width)."""
        return self.decoder(self.widen(codes.to(self.widen.weight.dtype)))

    def paint(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) of codes (B, N, D), with gradient."""
        return self.painter(self.hidden(codes)) * 2 - 1

    def proxy_loss(self, images: Tensor, proxies: Tensor) -> dict[str, Tensor]:
        """ "loss" = "proxy", the cross entropy (nats) of what the base encodes the images into, ids (B, g g), + "codebook"."""
        quantised = self.quantise(self.latents(images))
        logits = self.painter.logits(self.hidden(quantised.vectors))
        proxy = F.cross_entropy(at_least_float32(logits).flatten(0, 2), proxies.flatten())
        return {"loss": proxy + quantised.loss, "proxy": proxy.detach(), "codebook": quantised.loss.detach()}

    @torch.no_grad()
    def adopt(self, base: MaskGITVQModule) -> None:
        """Takes the codes and the decoder of a trained tokenizer. Raises UsageError where it is not of the spec's `base`."""
        if base.spec != self.spec.base:
            raise UsageError(f"base: tokenizer {base.spec} was given for {self.spec.base}; change the spec's base")
        self.painter.codes.copy_(base.codebook.weight)
        self.painter.decoder.load_state_dict(base.decoder.state_dict())


@dataclass(frozen=True)
class ProxyTiTok(Slotted):
    """`vocab` codes of width `dim` on `sites` sites, for square images of `side` pixels, painted by way of the codes of `base`.

    `normalise` compares on the unit sphere; `beta` weighs the commitment of latents to their codes.
    """

    vocab: int
    dim: int
    sites: int
    side: int = 256
    encoder: ViT = BASE
    decoder: ViT = BASE
    base: MaskGITVQ = MaskGITVQ()
    beta: float = 0.25
    normalise: bool = True

    def __post_init__(self) -> None:
        self.check(self.dim)
        if self.vocab < 2:
            raise UsageError(f"{self}: vocab must be at least 2")
        if self.decoder.patch != self.base.stride:
            raise UsageError(
                f"{self}: a code of base covers {self.base.stride} pixels a side, so make decoder.patch that"
            )

    @property
    def channels(self) -> int:
        """Those of `base`."""
        return self.base.channels

    @property
    def unit(self) -> Discrete:
        """One id of `vocab`."""
        return Discrete(self.vocab)

    def build(self) -> ProxyTiTokModule:
        """The module, with fresh weights."""
        return ProxyTiTokModule(self)
