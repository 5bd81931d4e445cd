"""Scalable VQ: the latent map resized to every side of a pyramid, and quantised anew at each (FlexVAR, arXiv 2502.20313).

No scale is the residual of another: each decodes to a picture by itself, and only the last one is decoded. So one module serves
any sides. Legend: B batch, C image channels, D width of a code, N sites of all scales, n sites of some.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..layout import Discrete, Layout, Tokens
from ..nn.precision import at_least_float32, full_precision
from .base import Tokenizer, TokenizerModule
from .vq import VQ, VQModule


class ScalableVQModule(TokenizerModule):
    """A VQ tokenizer whose latents are resized."""

    def __init__(self, spec: ScalableVQ) -> None:
        super().__init__()
        self.spec = spec
        self.vq: VQModule = spec.base.build()

    def latents(self, images: Tensor) -> Tensor:
        """What is resized and quantised, (B, D, h, w)."""
        return self.vq.latents(images).movedim(-1, 1)

    def encode(self, images: Tensor) -> Tokens:
        """Ids (B, N) of all scales, coarse to fine."""
        return self.encode_on(images, self.spec.layout((images.shape[-2], images.shape[-1])))

    @torch.no_grad()
    def encode_on(self, images: Tensor, layout: Layout) -> Tokens:
        """Ids (B, N) on any pyramid."""
        latents = self.latents(images)
        ids = [self.vq.codebook.nearest(resized(latents, block[-2:])).flatten(1) for block in layout.blocks]
        return Tokens(torch.cat(ids, dim=1), layout)

    def embed(self, ids: Tensor) -> Tensor:
        """Codes of ids (B, n), (B, n, D)."""
        return self.vq.embed(ids)

    def feedback(self, tokens: Tokens, scales: range) -> Tensor:
        """The codes of the scale before each, bicubic, (B, n, D)."""
        with full_precision(tokens.data.device):
            return torch.cat([self._enlarged(tokens, k) for k in scales], dim=1)

    def _enlarged(self, tokens: Tokens, scale: int) -> Tensor:
        codes = self.codes(tokens, scale - 1)
        grown = F.interpolate(codes.movedim(-1, 1), tokens.layout.blocks[scale][-2:], mode="bicubic")
        return grown.flatten(2).transpose(1, 2)

    def codes(self, tokens: Tokens, scale: int) -> Tensor:
        """The codes of one scale, (B, h, w, D)."""
        ends, block = (0, *tokens.layout.ends), tokens.layout.blocks[scale]
        return self.embed(tokens.data[:, ends[scale] : ends[scale + 1]]).unflatten(1, block[-2:])

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W) of the last scale, not clamped."""
        return self.vq.paint(self.codes(tokens, len(tokens.layout.blocks) - 1))

    def sketch(self, tokens: Tokens, scales: int) -> Tensor:
        """The last of `scales` scales, in its own size."""
        return self.vq.paint(self.codes(tokens, scales - 1))

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """As that of `VQModule`, in the mean over scales: each is decoded alone, and compared with the picture at its size."""
        latents, stride = self.latents(images), self.spec.base.stride
        pixels, codebooks, reconstruction = [], [], images
        for side in self.spec.sides:
            quantised = self.vq.quantise(resized(latents, (side, side)))
            reconstruction = self.vq.paint(quantised.vectors)
            target = F.interpolate(at_least_float32(images), (side * stride, side * stride), mode="area")
            pixels.append(F.mse_loss(at_least_float32(reconstruction), target))
            codebooks.append(quantised.loss)
        pixel, codebook = torch.stack(pixels).mean(), torch.stack(codebooks).mean()
        return {
            "loss": pixel + codebook,
            "pixel": pixel.detach(),
            "pixel_last": pixels[-1].detach(),
            "codebook": codebook.detach(),
            "usage": self.vq.codebook.usage(),
            "perplexity": self.vq.codebook.perplexity(),
            "reconstruction": reconstruction,
        }

    @torch.no_grad()
    def revive(self, images: Tensor) -> int:
        """Moves unused codes onto latents of `images` at all scales; how many moved."""
        latents = self.latents(images)
        pool = [resized(latents, (side, side)).flatten(0, 2) for side in self.spec.sides]
        return self.vq.codebook.revive(torch.cat(pool))


def resized(latents: Tensor, block: tuple[int, ...]) -> Tensor:
    """Latents (B, D, h, w) by area at another size, (B, *block, D), in at least float32."""
    wide = at_least_float32(latents)
    return (wide if wide.shape[-2:] == block else F.interpolate(wide, block, mode="area")).movedim(1, -1)


@dataclass(frozen=True)
class ScalableVQ(Tokenizer):
    """`base` quantised at every one of `sides`, the last of which says the size of the picture."""

    base: VQ
    sides: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.sides or min(self.sides) < 1:
            raise UsageError(f"{self}: sides must not be empty, and each at least 1")

    @property
    def channels(self) -> int:
        """Those of `base`."""
        return self.base.channels

    @property
    def unit(self) -> Discrete:
        """One id."""
        return self.base.unit

    def layout(self, size: tuple[int, int]) -> Layout:
        """A pyramid of `sides`."""
        return self.scaled(size, self.sides, self.base.stride)

    def at(self, size: tuple[int, int]) -> ScalableVQ:
        """With the sides below the new last one, which `size` (a square of whole sites) asks for."""
        side, rest = divmod(size[0], self.base.stride)
        if size[0] != size[1] or rest or side < 1:
            raise UsageError(
                f"images of {size[0]}x{size[1]} do not fit tokenizer ScalableVQ: make them square, with sides that are multiples of "
                f"{self.base.stride}"
            )
        return replace(self, sides=(*(s for s in self.sides if s < side), side))

    def build(self) -> ScalableVQModule:
        """The module, with fresh weights."""
        return ScalableVQModule(self)
