"""Hybrid tokens: the pyramid of a multi-scale residual VQ, and what its last scale cannot say (HART, arXiv 2410.10812).

    rest = f less the scales before the last (as in `MultiScaleVQ`);  ids_K = nearest(rest), without phi
    decoded is  f - rest + code[ids_K]  from ids alone, and  f - rest + rest = f  with the rest: the same decoder for both

So the last scale has two readings: its ids, and the vectors that they stand for. A generator draws ids of all scales, and may then
draw the difference `rest - code[ids_K]` site by site. Legend: B batch, D width of a code, h, w the latent map, K scales, n sites of the
last one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Discrete, Layout, Tokens
from .base import Tokenizer, TokenizerModule
from .multiscale import MultiScaleVQ, MultiScaleVQModule


@dataclass(frozen=True)
class Split:
    """Ids of all scales, and the vectors (B, n, D) that those of the last one stand for."""

    tokens: Tokens
    rest: Tensor


class HybridVQModule(TokenizerModule):
    """A multi-scale VQ tokenizer whose decoder also paints latents that are not quantised.

    `encode`, `feedback` and `decode` know ids alone. For a head that draws what ids leave out: `split` gives its target, `rest -
    embed(ids)` of the last scale (with ids that the generator drew rather than the true ones, training meets what drawing meets),
    and `restore` paints `Split(tokens, embed(ids) + drawn)`.
    """

    def __init__(self, spec: HybridVQ) -> None:
        super().__init__()
        self.spec = spec
        self.vq: MultiScaleVQModule = spec.base.build()

    def freeze(self) -> None:
        """From now on decoder and `widen` alone learn, as HART trains: on the weights of a tokenizer `base`, loaded into `vq`."""
        for part in (self.vq.encoder, self.vq.narrow, self.vq.codebook, self.vq.phis):
            part.requires_grad_(False)

    def latents(self, images: Tensor) -> Tensor:
        """What is split, (B, D, h, w). Raises UsageError for images that do not fit."""
        return self.vq.latents(images)

    @torch.no_grad()
    def split(self, images: Tensor) -> Split:
        """Tokens and the rest of images (B, C, H, W); `joined` makes their latents of both, to rounding.

        Codes are those of the smallest distance, whatever `base.angle` says of training: so the official code splits.
        """
        blocks, nearest = self.vq.blocks(images), self.vq.codebook.nearest
        found = self.vq.quantise(self.latents(images), blocks, len(blocks) - 1, nearest)
        rest = found.rest.flatten(2).transpose(1, 2)
        ids = torch.cat([*found.ids, nearest(rest)], dim=1)
        return Split(Tokens(ids, self.spec.layout((images.shape[-2], images.shape[-1]))), rest)

    def encode(self, images: Tensor) -> Tokens:
        """Ids (B, N) of all scales, coarse to fine."""
        return self.split(images).tokens

    def embed(self, ids: Tensor) -> Tensor:
        """Codes of ids (B, n), (B, n, D)."""
        return self.vq.embed(ids)

    def coded(self, tokens: Tokens) -> Split:
        """Tokens with nothing but the codes of the last scale."""
        return Split(tokens, self.embed(tokens.data[:, tokens.layout.sites - math.prod(tokens.layout.blocks[-1]) :]))

    def joined(self, split: Split) -> Tensor:
        """f_hat (B, D, h, w): the sum of the scales before the last, and the rest."""
        blocks = split.tokens.layout.blocks
        rest = split.rest.transpose(1, 2).unflatten(2, blocks[-1][-2:])
        sums = self.vq.sums(split.tokens, len(blocks) - 1)
        return sums[-1] + rest if sums else rest

    def restore(self, split: Split) -> Tensor:
        """Images (B, C, H, W) of tokens and the rest, not clamped."""
        return self.vq.paint(self.joined(split))

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W) of ids alone, not clamped."""
        return self.restore(self.coded(tokens))

    def feedback(self, tokens: Tokens, scales: range) -> Tensor:
        """f_hat after the scale before each, by area at its side, (B, n, D)."""
        return self.vq.feedback(tokens, scales)

    def sketch(self, tokens: Tokens, scales: int) -> Tensor:
        """What the sum shows after `scales` scales."""
        return self.decode(tokens) if scales == len(tokens.layout.blocks) else self.vq.sketch(tokens, scales)

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """As that of `MultiScaleVQModule`, with phi at every scale, where pictures are painted of latents whole or of ids alone.

        Torch's own generator draws which, picture by picture (officially batch by batch: the same in the mean).
        """
        fitted = self.vq.fit(images)
        skipped = torch.rand(len(images), 1, 1, 1, device=images.device) < self.spec.skip
        return self.vq.figures(images, torch.where(skipped, fitted.straight, fitted.latents), fitted.codebook)

    def revive(self, images: Tensor) -> int:
        """As that of `MultiScaleVQModule`; none where codes are frozen."""
        return self.vq.revive(images) if self.vq.codebook.weight.requires_grad else 0


@dataclass(frozen=True)
class HybridVQ(Tokenizer):
    """`base` whose decoder, in training, is given the sum of codes alone with probability `skip`, and else the whole latents."""

    base: MultiScaleVQ
    skip: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.skip <= 1:
            raise UsageError(f"{self}: skip must be a probability, from 0 to 1")

    @property
    def channels(self) -> int:
        """Those of `base`."""
        return self.base.channels

    @property
    def stride(self) -> int:
        """Pixels a side of what one site of the last scale covers."""
        return self.base.stride

    @property
    def unit(self) -> Discrete:
        """One id."""
        return self.base.unit

    def layout(self, size: tuple[int, int]) -> Layout:
        """A pyramid of the sides of `base`."""
        return self.base.layout(size)

    def build(self) -> HybridVQModule:
        """The module, with fresh weights."""
        return HybridVQModule(self)
