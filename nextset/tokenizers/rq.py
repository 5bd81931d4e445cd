"""RQ-VAE tokenizer: several codes a site, each of what the ones before it leave (Lee et al. 2022, arXiv 2203.01941).

    r_0 = z,   k_d = argmin |r_(d-1) - e(k)|,   r_d = r_(d-1) - e(k_d),   z^(d) = e(k_1) + .. + e(k_d)

Every partial sum commits, mean over d of |z - sg z^(d)|^2, so that the first codes are coarse and prefixes of the codes are pictures
too. Codebooks follow running means (nn/moving.py). Legend: B batch, N sites, Q codes a site, D width of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layout import Discrete, Tokens, grid
from ..nn.conv import Decoder, Encoder, attended
from ..nn.moving import MovingCodebook
from ..nn.precision import at_least_float32, full_precision
from .base import TokenizerModule
from .convolutional import Convolutional


@dataclass(frozen=True)
class Residual:
    """Ids (..., Q), the partial sums of their codes (Q, ..., D), and the commitment of the latents to all of these, a scalar."""

    ids: Tensor
    sums: Tensor
    commitment: Tensor


class RQModule(TokenizerModule):
    """Encoder, one codebook for all codes or one each, decoder, and 1x1 convolutions from and to the width of a code."""

    def __init__(self, spec: RQ) -> None:
        super().__init__()
        self.spec = spec
        net, seen = (spec.width, spec.multipliers, spec.blocks), spec.attention
        self.encoder = Encoder(spec.channels, *net, spec.latent, spec.groups, seen)
        self.narrow = nn.Conv2d(spec.latent, spec.dim, 1)
        books = 1 if spec.shared else spec.codes
        self.codebooks = nn.ModuleList(MovingCodebook(spec.vocab, spec.dim, spec.decay) for _ in range(books))
        self.widen = nn.Conv2d(spec.dim, spec.latent, 1)
        self.decoder = Decoder(spec.latent, *net, spec.channels, spec.groups, seen)

    def book(self, code: int) -> MovingCodebook:
        """The codebook of a code."""
        found = self.codebooks[0 if self.spec.shared else code]
        assert isinstance(found, MovingCodebook)
        return found

    def latents(self, images: Tensor) -> Tensor:
        """What the codes describe, (B, h, w, D). Raises UsageError for images that do not fit."""
        return self.narrow(self.encoder(self.spec.fitting(images).to(self.narrow.weight.dtype))).movedim(1, -1)

    def quantise(self, latents: Tensor, follow: bool = False) -> Residual:
        """Codes of latents (..., D); where asked to, codebooks follow their residuals, a shared one once for every code."""
        with full_precision(latents.device):
            z = at_least_float32(latents)
            residual, total, ids, sums = z.detach(), torch.zeros_like(z), [], []
            for code in range(self.spec.codes):
                book = self.book(code)
                chosen = book.nearest(residual)
                vectors = book.embed(chosen)
                if follow:
                    book.follow(residual, chosen)
                residual, total = residual - vectors, total + vectors
                ids.append(chosen)
                sums.append(total)
            partial = torch.stack(sums)
            return Residual(torch.stack(ids, -1), partial, (z - partial.detach()).square().mean())

    def embed(self, ids: Tensor) -> Tensor:
        """Codes of ids (..., q) of the first q codes of each site, (..., q, D); of ids (...) where a site has one code, (..., D)."""
        if self.spec.shared or self.spec.codes == 1:
            return self.book(0).embed(ids)
        return torch.stack([self.book(code).embed(ids[..., code]) for code in range(ids.shape[-1])], -2)

    def paint(self, vectors: Tensor) -> Tensor:
        """Images (B, C, H, W) of sums of codes (B, h, w, D), with gradient."""
        return self.decoder(self.widen(vectors.movedim(-1, 1).to(self.widen.weight.dtype)))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tokens:
        """Ids (B, N, Q), or (B, N) of one code, on a grid. Codebooks stay as they are."""
        ids = self.quantise(self.latents(images)).ids
        flat = ids.flatten(1, 2)
        return Tokens(flat if self.spec.codes > 1 else flat[..., 0], grid(*ids.shape[1:3]))

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W), not clamped, of ids (B, N, q): of the first q codes, coarser where q < Q."""
        vectors = self.embed(tokens.data)
        total = vectors if tokens.data.ndim == 2 else vectors.sum(2)
        return self.paint(total.unflatten(1, tokens.layout.shape))

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """ "loss" = "pixel" (mean squared error) + "codebook" (the weighted commitment); "usage" and "perplexity" of the batch's codes.

        "reconstruction" (B, C, H, W) carries its gradient, for adversarial and perceptual terms of the caller.
        """
        latents = self.latents(images)
        found = self.quantise(latents, follow=self.training)
        reconstruction = self.paint(latents + (found.sums[-1] - latents).detach())
        pixel = F.mse_loss(reconstruction.float(), images.float())
        codebook = self.spec.beta * found.commitment
        hits = torch.zeros(self.spec.vocab, device=images.device)
        share = hits.index_add_(0, found.ids.flatten(), hits.new_ones(found.ids.numel())) / found.ids.numel()
        return {
            "loss": pixel + codebook,
            "pixel": pixel.detach(),
            "codebook": codebook.detach(),
            "usage": (share > 0).float().mean(),
            "perplexity": torch.special.entr(share).sum().exp(),
            "reconstruction": reconstruction,
        }


@dataclass(frozen=True)
class RQ(Convolutional):
    """`codes` codes a site out of `vocab` of width `dim`, all from one codebook where it is `shared`.

    Level i of both nets has width * multipliers[i] channels in `groups` normalisation groups and `blocks` residual blocks (the
    decoder one more); `attention` lists the levels that have it (from the end where negative); a site covers 2^(levels - 1) pixels
    a side. `latent` channels lie between the nets and the codes. `beta` weighs the commitment, `decay` is that of the running means.
    """

    vocab: int
    dim: int = 256
    codes: int = 4
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    blocks: int = 2
    attention: tuple[int, ...] = (-1,)
    latent: int = 256
    groups: int = 32
    channels: int = 3
    shared: bool = True
    beta: float = 0.25
    decay: float = 0.99

    def __post_init__(self) -> None:
        self.check(self.dim, self.codes, self.latent, vocab=self.vocab)
        attended(self.attention, len(self.multipliers))

    @property
    def unit(self) -> Discrete:
        """`codes` ids of `vocab`."""
        return Discrete(self.vocab, self.codes)

    def build(self) -> RQModule:
        """The module, with fresh weights."""
        return RQModule(self)
