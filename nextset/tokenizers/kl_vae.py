"""KL-VAE tokenizer: a convolutional autoencoder whose sites are vectors drawn from a normal distribution kept near the standard one.

AutoencoderKL of latent diffusion (Rombach et al. 2022, arXiv 2112.10752), in the form MAR (arXiv 2406.11838) trained it: 16 channels a
site of 16x16 pixels. Legend: B batch, C image channels, N sites, Z channels of a site, h, w the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Continuous, Layout, Tokens, grid
from ..nn.conv import Decoder, Encoder, check_groups
from ..nn.posterior import Posterior
from ..nn.precision import at_least_float32
from ..noise import mix
from .base import Tokenizer, TokenizerModule

RATE = 0.01  # how fast the running moment of latents follows a batch


class KLVAEModule(TokenizerModule):
    """Encoder, decoder, and 1x1 convolutions to the moments and from the latents.

    Tokens are latents times `scale`, so that they have about unit variance. `encode` gives the posterior's mean; generators train on
    `drawn`, a sample of it, as latent diffusion does: the mean of that is what `encode` gives, and it is what decoding was trained on.
    """

    moment: Tensor

    def __init__(self, spec: KLVAE) -> None:
        super().__init__()
        self.spec = spec
        net = (spec.width, spec.multipliers, spec.blocks)
        self.encoder = Encoder(spec.channels, *net, out=2 * spec.dim, groups=spec.groups, lowest=spec.attention)
        self.moments = nn.Conv2d(2 * spec.dim, 2 * spec.dim, 1)
        self.widen = nn.Conv2d(spec.dim, spec.dim, 1)
        self.decoder = Decoder(spec.dim, *net, channels=spec.channels, groups=spec.groups, lowest=False)
        if spec.scale is None:
            self.register_buffer("moment", torch.ones(()))

    @property
    def scale(self) -> float | Tensor:
        """What latents are multiplied by: given, or one over the deviation that training saw."""
        return self.moment.rsqrt() if self.spec.scale is None else self.spec.scale

    def posterior(self, images: Tensor) -> Posterior:
        """The distribution of the latents (B, Z, h, w). Raises UsageError for images that do not fit."""
        if images.ndim != 4 or images.shape[1] != self.spec.channels:
            raise UsageError(f"images must be (B, {self.spec.channels}, H, W), got {tuple(images.shape)}")
        self.spec.layout((images.shape[2], images.shape[3]))
        return Posterior.of(self.moments(self.encoder(images.to(self.moments.weight.dtype))))

    def paint(self, latents: Tensor) -> Tensor:
        """Images (B, C, H, W) of unscaled latents (B, Z, h, w), with gradient."""
        return self.decoder(self.widen(latents.to(self.widen.weight.dtype)))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tokens:
        """The scaled means (B, N, Z) on a grid."""
        return self._tokens(self.posterior(images).mean)

    @torch.no_grad()
    def drawn(self, images: Tensor, seed: int) -> Tokens:
        """Scaled latents (B, N, Z), one sample of the posterior a picture."""
        posterior = self.posterior(images)
        generator = torch.Generator().manual_seed(mix(seed, "posterior"))
        eps = torch.randn(posterior.mean.shape, generator=generator)
        return self._tokens(posterior.sample(eps.to(posterior.mean)))

    def _tokens(self, latents: Tensor) -> Tokens:
        scaled = latents * self.scale
        return Tokens(scaled.flatten(2).transpose(1, 2), grid(*latents.shape[2:]))

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W), not clamped."""
        latents = at_least_float32(tokens.data).transpose(1, 2).unflatten(2, tokens.layout.shape)
        return self.paint(latents / self.scale)

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """ "loss" = "pixel" (mean squared error) + beta "kl" (nats a value of the image); "deviation" of latents; "reconstruction".

        The reconstruction (B, C, H, W) is that of a sample drawn with torch's own generator, and carries its gradient: adversarial
        and perceptual terms are added to the loss by the caller. In training mode a measured scale follows the latents.
        """
        posterior = self.posterior(images)
        reconstruction = self.paint(posterior.sample(torch.randn_like(posterior.mean)))
        pixel = F.mse_loss(reconstruction.float(), images.float())
        divergence = posterior.divergence().mean() / images[0].numel()
        moment = posterior.second_moment().detach()
        if self.training and self.spec.scale is None:
            self.moment.lerp_(moment.to(self.moment.dtype), RATE)
        return {
            "loss": pixel + self.spec.beta * divergence,
            "pixel": pixel.detach(),
            "kl": divergence.detach(),
            "deviation": moment.sqrt(),
            "reconstruction": reconstruction,
        }


@dataclass(frozen=True)
class KLVAE(Tokenizer):
    """Vectors of `dim` numbers.

    Level i of both nets has width * multipliers[i] channels in `groups` normalisation groups and `blocks` residual blocks (the decoder
    one more); a site covers 2^(levels - 1) pixels a side. `attention` is the encoder's at its lowest level, beside that in the middle
    of both. `scale` makes latents tokens of unit variance; None: it is measured in training. `beta` weighs the divergence.
    """

    dim: int = 16
    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    groups: int = 32
    channels: int = 3
    attention: bool = True
    scale: float | None = 0.2325
    beta: float = 1e-6

    def __post_init__(self) -> None:
        if not self.multipliers or min(self.dim, self.width, self.blocks, self.groups, *self.multipliers) < 1:
            raise UsageError(f"{self}: every size must be at least 1, and multipliers not empty")
        if self.channels not in (1, 3):
            raise UsageError(f"{self}: channels must be 1 or 3")
        if self.beta < 0 or (self.scale is not None and self.scale <= 0):
            raise UsageError(f"{self}: beta must not be negative, and scale above 0 or None")
        check_groups(self.width, (1, *self.multipliers), self.groups)

    @property
    def unit(self) -> Continuous:
        """A vector."""
        return Continuous(self.dim)

    @property
    def stride(self) -> int:
        """Pixels a side of what one site covers."""
        return 2 ** (len(self.multipliers) - 1)

    def layout(self, size: tuple[int, int]) -> Layout:
        """A grid of height / stride by width / stride sites."""
        if min(size) < 1 or any(side % self.stride for side in size):
            raise UsageError(
                f"images of {size[0]}x{size[1]} do not fit tokenizer KLVAE: make both sides multiples of {self.stride}"
            )
        return grid(size[0] // self.stride, size[1] // self.stride)

    def build(self) -> KLVAEModule:
        """The module, with fresh weights."""
        return KLVAEModule(self)


def official_keys(levels: int) -> dict[str, str | tuple[str, ...]]:
    """The names of latent diffusion's files for ours, for nets of so many levels: a table for `nextset.keymap.KeyMap`.

    Its separate q, k, v are one matrix here, and its decoder counts levels from the finest.
    """
    names: dict[str, str | tuple[str, ...]] = {}
    for kind in ("weight", "bias"):
        for net in ("encoder", "decoder"):
            for end in ("conv_in", "norm_out", "conv_out"):
                names[f"{net}.{end}.{kind}"] = f"{net}.{end}.{kind}"
            names |= _block(f"{net}.middle.0", f"{net}.mid.block_1", kind)
            names |= _attention(f"{net}.middle.1", f"{net}.mid.attn_1", kind)
            names |= _block(f"{net}.middle.2", f"{net}.mid.block_2", kind)
            for place in range(levels):
                side = f"down.{place}" if net == "encoder" else f"up.{levels - 1 - place}"
                sample = "downsample" if net == "encoder" else "upsample"
                ours, theirs = f"{net}.levels.{place}", f"{net}.{side}"
                names |= _block(f"{ours}.blocks.{{}}", f"{theirs}.block.{{}}", kind)
                names |= _attention(f"{ours}.attention.{{}}", f"{theirs}.attn.{{}}", kind)
                names[f"{ours}.resample.conv.{kind}"] = f"{theirs}.{sample}.conv.{kind}"
        names |= {f"moments.{kind}": f"quant_conv.{kind}", f"widen.{kind}": f"post_quant_conv.{kind}"}
    return names


def _block(ours: str, theirs: str, kind: str) -> dict[str, str]:
    layers = {name: name for name in ("norm1", "conv1", "norm2", "conv2")} | {"shortcut": "nin_shortcut"}
    return {f"{ours}.{mine}.{kind}": f"{theirs}.{name}.{kind}" for mine, name in layers.items()}


def _attention(ours: str, theirs: str, kind: str) -> dict[str, str | tuple[str, ...]]:
    return {
        f"{ours}.norm.{kind}": f"{theirs}.norm.{kind}",
        f"{ours}.qkv.{kind}": tuple(f"{theirs}.{part}.{kind}" for part in "qkv"),
        f"{ours}.out.{kind}": f"{theirs}.proj_out.{kind}",
    }
