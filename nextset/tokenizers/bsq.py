"""Multi-scale binary spherical quantisation: the signs of what is left of a latent map, at growing sides (Infinity, arXiv 2412.04431).

    rest = f;  for every scale k:  u = area(rest, side k) / |.|,  q = sign(u) / sqrt(d),  rest -= bilinear(q)

There is no codebook: a vector of d numbers on the unit sphere becomes d bits (BSQ, Zhao et al. 2024, arXiv 2406.07548), so that a token
out of 2^d is d independent choices. f_hat_k, the sum of q up to scale k, is what scale k + 1 is predicted from (resized bilinearly,
not by area), and what is decoded at the end. Bits may be flipped on the way: the scales after them then quantise what the flips
have left wrong, which is what a generator learns self-correction from. The loop runs in at least float32.

With `patch` p a token is p x p sites of a map, whose bits lie side by side, so that maps are p times finer than the layout.

Legend: B batch, C image channels, d bits a site of a map, Q = d p^2 bits a token, h, w sides of the latent map, N tokens, n of some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..layout import Discrete, Layout, Tokens
from ..nn.conv import Decoder, Encoder, check_groups
from ..nn.precision import at_least_float32, full_precision
from .base import TokenizerModule
from .convolutional import Convolutional
from .templates import ending, template

Map = tuple[int, int]
EPS = 1e-8  # inside the logarithm of an entropy


@dataclass(frozen=True)
class Spheres:
    """Of every scale the bits (B, d, h_k, w_k) bool of what was left, on the sphere (same shape), and the sum f_hat (B, d, h, w)."""

    bits: list[Tensor]
    units: list[Tensor]
    sums: list[Tensor]


class MultiScaleBSQModule(TokenizerModule):
    """Encoder and decoder, without attention."""

    def __init__(self, spec: MultiScaleBSQ) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = Encoder(
            spec.channels, spec.width, spec.multipliers, spec.blocks, spec.dim, groups=spec.groups, attention=None
        )
        self.decoder = Decoder(
            spec.dim, spec.width, spec.rise, spec.blocks, spec.channels, groups=spec.groups, attention=None
        )

    def latents(self, images: Tensor) -> Tensor:
        """What is quantised, (B, d, h, w). Raises UsageError for images that do not fit."""
        found: Tensor = self.encoder(self.spec.fitting(images).to(self.encoder.conv_in.weight.dtype))
        return found

    def quantise(self, latents: Tensor, layout: Layout, flips: Tensor | None = None) -> Spheres:
        """The loop above over latents (B, d, h, w). With `flips` (B, N, Q) bool these bits are turned over before they are summed.

        The bits that are given back are those before. The sums carry a gradient straight through every scale's sphere.
        """
        maps, found = self._maps(layout), Spheres([], [], [])
        turned = None if flips is None else self.unfolded(Tokens(flips, layout))
        with full_precision(latents.device):
            rest = wide = at_least_float32(latents)
            for k, map_ in enumerate(maps):
                unit = F.normalize(_resized(rest, map_, "area"), dim=1)
                bits = unit > 0
                code = self.codes(bits if turned is None else bits ^ turned[k])
                added = _resized(unit + (code - unit).detach(), maps[-1], "bilinear")
                found.bits.append(bits)
                found.units.append(unit)
                found.sums.append(found.sums[-1] + added if k else added)
                rest = wide - found.sums[-1].detach()
        return found

    def codes(self, bits: Tensor) -> Tensor:
        """Corners of the cube in the sphere, of bits (...) of any shape: 1 / sqrt(d), or minus that."""
        return (2.0 * bits - 1.0) * self.spec.dim**-0.5

    def _maps(self, layout: Layout) -> list[Map]:
        patch = self.spec.patch
        return [(patch * block[-2], patch * block[-1]) for block in layout.blocks]

    def folded(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, d, p h_k, p w_k) as vectors by token, (B, n, Q) for the tokens of all of them."""
        patches = [F.pixel_unshuffle(m, self.spec.patch) if self.spec.patch > 1 else m for m in maps]
        return torch.cat([m.flatten(2) for m in patches], dim=2).transpose(1, 2)

    def unfolded(self, tokens: Tokens, scales: int | None = None) -> list[Tensor]:
        """The inverse, of all scales or the first ones."""
        blocks, ends = tokens.layout.blocks[:scales], (0, *tokens.layout.ends)
        parts = [tokens.data[:, ends[k] : ends[k + 1]].transpose(1, 2) for k in range(len(blocks))]
        maps = [part.unflatten(2, block[-2:]) for part, block in zip(parts, blocks, strict=True)]
        return [F.pixel_shuffle(m, self.spec.patch) if self.spec.patch > 1 else m for m in maps]

    def sums(self, tokens: Tokens, scales: int | None = None) -> list[Tensor]:
        """f_hat (B, d, h, w) after each of the first `scales` scales, or of all."""
        finest, sums = self._maps(tokens.layout)[-1], list[Tensor]()
        with full_precision(tokens.data.device):
            for bits in self.unfolded(tokens, scales):
                added = _resized(self.codes(bits), finest, "bilinear")
                sums.append(sums[-1] + added if sums else added)
        return sums

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tokens:
        """Bits (B, N, Q) of all scales, coarse to fine."""
        layout = self.spec.layout((images.shape[-2], images.shape[-1]))
        return Tokens(self.folded(self.quantise(self.latents(images), layout).bits).long(), layout)

    @torch.no_grad()
    def corrected(self, images: Tensor, layout: Layout, flips: Tensor) -> Tokens:
        """Bits (B, N, Q) of which every scale's make good what `flips` (B, N, Q) bool of the scales before it have spoilt."""
        return Tokens(self.folded(self.quantise(self.latents(images), layout, flips).bits).long(), layout)

    def embed(self, ids: Tensor) -> Tensor:
        """A number a bit, of bits (...) those (..., 1)."""
        return self.codes(ids)[..., None]

    def feedback(self, tokens: Tokens, scales: range) -> Tensor:
        """f_hat after the scale before each, bilinear at its side, (B, n, Q)."""
        sums, maps = self.sums(tokens, scales.stop - 1), self._maps(tokens.layout)
        return self.folded([_resized(sums[k - 1], maps[k], "bilinear") for k in scales])

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W), not clamped."""
        return self.paint(self.sums(tokens)[-1])

    def sketch(self, tokens: Tokens, scales: int) -> Tensor:
        """What the sum shows after `scales` scales."""
        return self.paint(self.sums(tokens, scales)[-1])

    def paint(self, sums: Tensor) -> Tensor:
        """Images (B, C, H, W) of f_hat (B, d, h, w), with gradient."""
        return self.decoder(sums.to(self.decoder.conv_in.weight.dtype))

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """ "loss" = "pixel" (mean squared error) + beta "commitment" + weight "entropy" / sharpness; "balance"; "reconstruction".

        In the mean over scales: the commitment |u - sg(q)|^2, and the entropy of a site's bits less that of all sites' bits
        together, so that single bits get sure and both values stay in use. Bits are taken as independent, and as 1 with
        probability sigmoid(4 sharpness u / sqrt(d)), which makes the entropy of 2^d codes a sum of d. "balance" is the entropy of the
        bits themselves, 1 where all are 0 and 1 alike.
        """
        layout = self.spec.layout((images.shape[-2], images.shape[-1]))
        found = self.quantise(self.latents(images), layout)
        with full_precision(images.device):
            codes = [self.codes(bits) for bits in found.bits]
            distances = [(u - q).square().sum(1).mean() for u, q in zip(found.units, codes, strict=True)]
            commitment = torch.stack(distances).mean()
            entropy = torch.stack([self.entropy(unit) for unit in found.units]).mean()
            balance = torch.stack([_binary_entropy(bits.float().mean((0, 2, 3))).mean() for bits in found.bits]).mean()
        reconstruction = self.paint(found.sums[-1])
        pixel = F.mse_loss(at_least_float32(reconstruction), at_least_float32(images))
        return {
            "loss": pixel + self.spec.beta * commitment + self.spec.weight * entropy / self.spec.sharpness,
            "pixel": pixel.detach(),
            "commitment": commitment.detach(),
            "entropy": entropy.detach(),
            "balance": balance / torch.tensor(2.0).log(),
            "reconstruction": reconstruction,
        }

    def entropy(self, unit: Tensor) -> Tensor:
        """Of bits of points (B, d, h, w) on the sphere: that of a site less that of all sites together, in nats."""
        ones = (4 * self.spec.sharpness * self.spec.dim**-0.5 * unit).sigmoid()
        return _binary_entropy(ones).sum(1).mean() - _binary_entropy(ones.mean((0, 2, 3))).sum()


def _resized(maps: Tensor, size: Map, mode: str) -> Tensor:
    return maps if maps.shape[-2:] == size else F.interpolate(maps, size, mode=mode)


def _binary_entropy(ones: Tensor) -> Tensor:
    """In nats, of the probability of a 1."""
    return -(ones * (ones + EPS).log() + (1 - ones) * (1 - ones + EPS).log())


@dataclass(frozen=True)
class MultiScaleBSQ(Convolutional):
    """Tokens of `dim` bits, or of dim * patch^2 bits where one covers `patch` x `patch` sites of a map.

    `sides` are (height, width) in tokens of every scale; `at` another size they are those of `templates`. Nets as in `VQ` but without
    attention; `rising` are the decoder's multipliers where they differ. `beta` weighs the commitment, `weight` the entropy, at
    `sharpness`.
    """

    dim: int
    sides: tuple[tuple[int, int], ...] = template(1.0)
    patch: int = 1
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4, 4)
    blocks: int = 2
    groups: int = 32
    channels: int = 3
    rising: tuple[int, ...] = ()
    beta: float = 0.25
    weight: float = 0.1
    sharpness: float = 100.0

    def __post_init__(self) -> None:
        if not self.sides:
            raise UsageError(f"{self}: sides must not be empty")
        self.check(self.dim, self.patch, *(side for sides in self.sides for side in sides), *self.rising)
        if len(self.rise) != len(self.multipliers):
            raise UsageError(f"{self}: rising must have as many levels as multipliers")
        check_groups(self.width, self.rise, self.groups)
        if min(self.beta, self.weight) < 0 or not self.sharpness > 0:
            raise UsageError(f"{self}: beta and weight must not be negative, and sharpness above 0")

    @property
    def rise(self) -> tuple[int, ...]:
        """The decoder's multipliers."""
        return self.rising or self.multipliers

    @property
    def pixels(self) -> int:
        """Pixels a side of what one token covers at the finest scale."""
        return self.stride * self.patch

    @property
    def unit(self) -> Discrete:
        """So many bits."""
        return Discrete(2, self.dim * self.patch**2)

    def layout(self, size: tuple[int, int]) -> Layout:
        """A pyramid of `sides`."""
        return self.scaled(size, self.sides, self.pixels)

    def at(self, size: tuple[int, int]) -> MultiScaleBSQ:
        """With the sides of a template whose maps end with the one that `size` asks for. Raises UsageError where none does."""
        height, width = self.cut(size, self.pixels).shape
        return self if (height, width) == self.sides[-1] else replace(self, sides=ending(height, width))

    def build(self) -> MultiScaleBSQModule:
        """The module, with fresh weights."""
        return MultiScaleBSQModule(self)
