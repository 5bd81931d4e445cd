"""Multi-scale residual VQ: one codebook quantises what is left of a latent map at growing sides (VAR, arXiv 2404.02905).

    rest = f;  for every scale k:  z = area(rest, side k), ids_k = nearest(z), h = phi_k(bicubic(code[ids_k])), rest -= h

f_hat_k, the sum of h up to scale k, is what scale k + 1 is predicted from (by area), and what is decoded at the end. phi(x) =
(1 - blend) x + blend conv(x), of which a few are shared among scales. The loop runs in at least float32. Nearest is by distance, or
by angle.

Legend: B batch, C image channels, D width of a code, h, w sides of the latent map, N sites of all scales, n of some, K scales.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Discrete, Layout, Tokens
from ..nn.codebook import ALIVE, Codebook
from ..nn.conv import Decoder, Encoder
from ..nn.precision import at_least_float32, full_precision
from .base import TokenizerModule
from .convolutional import Convolutional

Block = tuple[int, ...]
KEEP = 0.99  # of the running average of hits a scale


@dataclass(frozen=True)
class Residuals:
    """Of every scale the ids (B, n), what they were nearest to (B, n, D), and the sum f_hat (B, D, h, w) so far; what is left at last."""

    ids: list[Tensor]
    asked: list[Tensor]
    sums: list[Tensor]
    rest: Tensor


@dataclass(frozen=True)
class Fitted:
    """Latents of a training batch (B, D, h, w) with gradient, the sum of all their scales, and the loss of the codes, a scalar."""

    latents: Tensor
    total: Tensor
    codebook: Tensor

    @property
    def straight(self) -> Tensor:
        """The sum, whose gradient goes straight to the latents."""
        return self.latents + (self.total - self.latents).detach()


class MultiScaleVQModule(TokenizerModule):
    """Encoder, codebook, phi convolutions, decoder, convolutions to and from the codebook, and hits of codes a scale (K, V)."""

    hits: Tensor

    def __init__(self, spec: MultiScaleVQ) -> None:
        super().__init__()
        self.spec = spec
        net = (spec.width, spec.multipliers, spec.blocks)
        self.encoder = Encoder(spec.channels, *net, out=spec.dim, groups=spec.groups)
        self.narrow = nn.Conv2d(spec.dim, spec.dim, spec.kernel, padding=spec.kernel // 2)
        self.codebook = Codebook(spec.vocab, spec.dim, spec.beta, normalise=False)
        phis = spec.phis if spec.blend else 0
        self.phis = nn.ModuleList(nn.Conv2d(spec.dim, spec.dim, 3, padding=1) for _ in range(phis))
        self.widen = nn.Conv2d(spec.dim, spec.dim, spec.kernel, padding=spec.kernel // 2)
        self.decoder = Decoder(spec.dim, *net, channels=spec.channels, groups=spec.groups)
        self.register_buffer("hits", torch.zeros(len(spec.sides), spec.vocab))

    def latents(self, images: Tensor) -> Tensor:
        """What is quantised, (B, D, h, w). Raises UsageError for images that do not fit."""
        return self.narrow(self.encoder(self.spec.fitting(images).to(self.narrow.weight.dtype)))

    def blocks(self, images: Tensor) -> tuple[Block, ...]:
        """Height and width of every scale of images of this size."""
        return tuple(block[-2:] for block in self.spec.layout((images.shape[-2], images.shape[-1])).blocks)

    def nearest(self, asked: Tensor) -> Tensor:
        """Ids (...) of the codes nearest to (..., D), as the spec says."""
        return self.codebook.aligned(asked) if self.spec.angle else self.codebook.nearest(asked)

    def quantise(
        self,
        latents: Tensor,
        blocks: tuple[Block, ...],
        scales: int | None = None,
        nearest: Callable[[Tensor], Tensor] | None = None,
    ) -> Residuals:
        """The loop above over latents (B, D, h, w) and scales of these heights and widths, the last of which is (h, w).

        It ends after `scales` of them, None: after all; `nearest` chooses ids, None: the module's own. Sums carry the gradient of codes
        and phi, not of the latents.
        """
        nearest = nearest or self.nearest
        with full_precision(latents.device):
            rest, ids, asked = at_least_float32(latents.detach()), [], []
            sums: list[Tensor] = []
            for k, block in enumerate(blocks[:scales]):
                asked.append(_by_area(rest, block))
                ids.append(nearest(asked[k]))
                added = self._added(ids[k], blocks, k)
                rest = rest - added.detach()
                sums.append(sums[-1] + added if sums else added)
        return Residuals(ids, asked, sums, rest)

    def _added(self, ids: Tensor, blocks: tuple[Block, ...], scale: int) -> Tensor:
        """What ids (B, n) of a scale add to the sum, (B, D, h, w)."""
        codes = self.codebook.embed(ids).transpose(1, 2).unflatten(2, blocks[scale])
        if blocks[scale] != blocks[-1]:
            codes = F.interpolate(codes, blocks[-1], mode="bicubic")
        if not self.phis:
            return codes
        phi, blend = self.phis[phi_of(scale, len(blocks), len(self.phis))], self.spec.blend
        assert isinstance(phi, nn.Conv2d)
        assert phi.bias is not None
        turned = F.conv2d(codes, phi.weight.to(codes.dtype), phi.bias.to(codes.dtype), padding=1)
        return codes.lerp(turned, blend)

    def sums(self, tokens: Tokens, scales: int) -> list[Tensor]:
        """f_hat (B, D, h, w) after each of the first `scales` scales."""
        blocks, ends = tuple(block[-2:] for block in tokens.layout.blocks), (0, *tokens.layout.ends)
        sums: list[Tensor] = []
        with full_precision(tokens.data.device):
            for k in range(scales):
                added = self._added(tokens.data[:, ends[k] : ends[k + 1]], blocks, k)
                sums.append(sums[-1] + added if sums else added)
        return sums

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tokens:
        """Ids (B, N) of all scales, coarse to fine."""
        found = self.quantise(self.latents(images), self.blocks(images))
        return Tokens(torch.cat(found.ids, dim=1), self.spec.layout((images.shape[-2], images.shape[-1])))

    def embed(self, ids: Tensor) -> Tensor:
        """Codes of ids (B, n), (B, n, D)."""
        return self.codebook.embed(ids)

    def feedback(self, tokens: Tokens, scales: range) -> Tensor:
        """f_hat after the scale before each, by area at its side, (B, n, D)."""
        sums = self.sums(tokens, scales.stop - 1)
        return torch.cat([_by_area(sums[k - 1], tokens.layout.blocks[k][-2:]) for k in scales], dim=1)

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W), not clamped."""
        return self.paint(self.sums(tokens, len(tokens.layout.blocks))[-1])

    def sketch(self, tokens: Tokens, scales: int) -> Tensor:
        """What the sum shows after `scales` scales."""
        return self.paint(self.sums(tokens, scales)[-1])

    def paint(self, sums: Tensor) -> Tensor:
        """Images (B, C, H, W) of f_hat (B, D, h, w), with gradient."""
        return self.decoder(self.widen(sums.to(self.widen.weight.dtype)))

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """ "loss" = "pixel" (mean squared error) + "codebook"; use of codes, also a scale ("usage_1" is the coarsest); "reconstruction".

        The codebook's loss is the mean over scales of |f_hat_k - sg(f)|^2 + beta |sg(f_hat_k) - f|^2; the gradient of the picture
        goes straight through f_hat to f. In training mode codes are counted.
        """
        fitted = self.fit(images)
        return self.figures(images, fitted.straight, fitted.codebook)

    def fit(self, images: Tensor) -> Fitted:
        """What a loss on images is made of. In training mode their codes are counted."""
        latents = self.latents(images)
        found = self.quantise(latents, self.blocks(images))
        with full_precision(images.device):
            f = at_least_float32(latents)
            codes = torch.stack([F.mse_loss(total, f.detach()) for total in found.sums]).mean()
            commitment = torch.stack([F.mse_loss(f, total.detach()) for total in found.sums]).mean()
            fitted = Fitted(f, found.sums[-1], codes + self.spec.beta * commitment)
        if self.training:
            self._count(found.ids)
        return fitted

    def figures(self, images: Tensor, painted: Tensor, codebook: Tensor) -> dict[str, Tensor]:
        """Those of `loss` where latents (B, D, h, w) are `painted` and the loss of their codes is `codebook`."""
        reconstruction = self.paint(painted)
        pixel = F.mse_loss(at_least_float32(reconstruction), at_least_float32(images))
        usage = (self.hits >= ALIVE * self.hits.mean(1, keepdim=True).clamp_min(1e-12)).float().mean(1)
        return {
            "loss": pixel + codebook,
            "pixel": pixel.detach(),
            "codebook": codebook.detach(),
            "usage": self.codebook.usage(),
            "perplexity": self.codebook.perplexity(),
            **{f"usage_{k + 1}": share for k, share in enumerate(usage)},
            "reconstruction": reconstruction,
        }

    @torch.no_grad()
    def _count(self, ids: list[Tensor]) -> None:
        """Adds a batch; the hits a scale are those of this process."""
        self.codebook.count(torch.cat(ids, dim=1))
        for hits, found in zip(self.hits, ids, strict=True):
            flat = found.flatten()
            hits.mul_(KEEP).index_add_(
                0, flat, torch.full((), 1 - KEEP, dtype=hits.dtype, device=hits.device).expand(len(flat))
            )

    @torch.no_grad()
    def revive(self, images: Tensor) -> int:
        """Moves unused codes onto what is asked of the codebook at all scales for `images`; how many moved."""
        found = self.quantise(self.latents(images), self.blocks(images))
        return self.codebook.revive(torch.cat(found.asked, dim=1).flatten(0, 1))


def _by_area(maps: Tensor, block: Block) -> Tensor:
    """Maps (B, D, h, w) at another size, site by site (B, n, D)."""
    small = maps if maps.shape[-2:] == block else F.interpolate(maps, block, mode="area")
    return small.flatten(2).transpose(1, 2)


def phi_of(scale: int, scales: int, phis: int) -> int:
    """Which of `phis` convolutions a scale uses: the nearest of as many marks in [0, 1] to its place scale / (scales - 1)."""
    edge = (1 / 3 if phis == 4 else 1 / 2) / phis
    # in float64: among 10 scales the third lies halfway between two marks, and rounding decides as it did in the published weights
    marks = np.linspace(edge, 1 - edge, phis)
    return int(np.argmin(np.abs(marks - scale / max(scales - 1, 1))))


@dataclass(frozen=True)
class MultiScaleVQ(Convolutional):
    """`vocab` codes of width `dim`, quantised at every one of `sides`, the last of which is that of the latent map.

    Nets as in `VQ`, from and to `dim` channels, with convolutions of side `kernel` around the codes. `phis` convolutions are shared
    among the scales, each blended in by `blend` (0: there are none); `beta` weighs the commitment of latents. `angle`: the nearest
    code is that of the smallest angle.
    """

    vocab: int
    dim: int
    sides: tuple[int, ...]
    width: int = 160
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    groups: int = 32
    channels: int = 3
    beta: float = 0.25
    phis: int = 4
    blend: float = 0.5
    kernel: int = 3
    angle: bool = False

    def __post_init__(self) -> None:
        if not self.sides:
            raise UsageError(f"{self}: sides must not be empty")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError(f"{self}: kernel must be odd, so that maps keep their size")
        self.check(self.dim, self.phis, *self.sides, vocab=self.vocab)

    @property
    def unit(self) -> Discrete:
        """One id of `vocab`."""
        return Discrete(self.vocab)

    def layout(self, size: tuple[int, int]) -> Layout:
        """A pyramid of `sides`."""
        return self.scaled(size, self.sides, self.stride)

    def build(self) -> MultiScaleVQModule:
        """The module, with fresh weights."""
        return MultiScaleVQModule(self)
