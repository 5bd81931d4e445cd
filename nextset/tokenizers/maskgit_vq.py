"""MaskGIT's VQGAN (Chang et al. 2022, arXiv 2202.04200): attention-free convolutional nets around a plain, wide codebook.

Codes are what the encoder gives, without a projection and without normalisation; the nets see pixels in [0, 1]. The published
weights, from open-muse by way of 1d-tokenizer, have 1,024 codes of width 256 at 16 pixels a side. Legend: B batch, C image channels,
N sites, D width of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..keymap import Fresh, KeyMap
from ..layout import Discrete, Layout, Tokens, grid
from ..nn.codebook import Codebook, Quantised
from ..nn.conv import check_groups
from ..nn.plain_conv import PlainDecoder, PlainEncoder
from .base import Tokenizer, TokenizerModule


class MaskGITVQModule(TokenizerModule):
    """Encoder, codebook, decoder."""

    def __init__(self, spec: MaskGITVQ) -> None:
        super().__init__()
        self.spec = spec
        net = (spec.width, spec.multipliers, spec.blocks)
        self.encoder = PlainEncoder(spec.channels, *net, out=spec.dim, groups=spec.groups)
        self.codebook = Codebook(spec.vocab, spec.dim, spec.beta, normalise=False)
        self.decoder = PlainDecoder(spec.dim, *net, channels=spec.channels, groups=spec.groups)

    def latents(self, images: Tensor) -> Tensor:
        """What the codebook quantises, (B, h, w, D). Raises UsageError for images that do not fit."""
        if images.ndim != 4 or images.shape[1] != self.spec.channels:
            raise UsageError(f"images must be (B, {self.spec.channels}, H, W), got {tuple(images.shape)}")
        self.spec.layout((images.shape[2], images.shape[3]))
        pixels = ((images + 1) / 2).to(self.encoder.conv_out.weight.dtype)
        return self.encoder(pixels).movedim(1, -1)

    def quantise(self, latents: Tensor) -> Quantised:
        """Codes of latents (B, h, w, D), with the gradient passed straight through and the codebook's loss."""
        return self.codebook(latents)

    def embed(self, ids: Tensor) -> Tensor:
        """Codes of ids (B, N), (B, N, D)."""
        return self.codebook.embed(ids)

    def paint(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) of codes (B, h, w, D), with gradient."""
        return self.decoder(codes.movedim(-1, 1).to(self.decoder.conv_out.weight.dtype)) * 2 - 1

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tokens:
        """Ids (B, N) on a grid."""
        ids = self.codebook.nearest(self.latents(images))
        return Tokens(ids.flatten(1), grid(*ids.shape[1:]))

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W), not clamped."""
        return self.paint(self.embed(tokens.data).unflatten(1, tokens.layout.shape))

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """ "loss" = "pixel" (mean squared error) + "codebook"; "usage" and "perplexity" of the codes; "reconstruction".

        The reconstruction (B, C, H, W) carries its gradient, for adversarial and perceptual terms. In training mode codes are counted.
        """
        quantised = self.quantise(self.latents(images))
        reconstruction = self.paint(quantised.vectors)
        pixel = F.mse_loss(reconstruction.float(), images.float())
        return {
            "loss": pixel + quantised.loss,
            "pixel": pixel.detach(),
            "codebook": quantised.loss.detach(),
            "usage": self.codebook.usage(),
            "perplexity": self.codebook.perplexity(),
            "reconstruction": reconstruction,
        }

    @torch.no_grad()
    def revive(self, images: Tensor) -> int:
        """Moves unused codes onto latents of `images`; how many moved."""
        return self.codebook.revive(self.latents(images))


@dataclass(frozen=True)
class MaskGITVQ(Tokenizer):
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
        sizes = (self.dim, self.width, self.blocks, self.groups, *self.multipliers)
        if self.vocab < 2 or not self.multipliers or min(sizes) < 1:
            raise UsageError(
                f"{self}: vocab must be at least 2, every other size at least 1, and multipliers not empty"
            )
        if self.channels not in (1, 3):
            raise UsageError(f"{self}: channels must be 1 or 3")
        check_groups(self.width, (1, *self.multipliers), self.groups)

    @property
    def unit(self) -> Discrete:
        """One id of `vocab`."""
        return Discrete(self.vocab)

    @property
    def stride(self) -> int:
        """Pixels a side of what one site covers."""
        return 2 ** (len(self.multipliers) - 1)

    def layout(self, size: tuple[int, int]) -> Layout:
        """A grid of height / stride by width / stride sites."""
        return self.cut(size, self.stride)

    def build(self) -> MaskGITVQModule:
        """The module, with fresh weights."""
        return MaskGITVQModule(self)


_WAYS = {"encoder": "down", "decoder": "up"}
_BLOCKS = {"shortcut.*": "nin_shortcut.*", "*": "*"}
KEYS = KeyMap(  # of maskgit-vqgan-imagenet-f16-256.bin, at huggingface.co/fun-research/TiTok
    {f"{n}.levels.{{}}.blocks.{{}}.{k}": f"{n}.{_WAYS[n]}.{{}}.block.{{}}.{_BLOCKS[k]}" for n in _WAYS for k in _BLOCKS}
    | {"decoder.levels.{}.rise.*": "decoder.up.{}.upsample_conv.*", "codebook.weight": "quantize.embedding.weight"}
    | {f"{net}.middle.*": f"{net}.mid.*" for net in _WAYS}
    | {f"{net}.{end}": f"{net}.{end}" for net in _WAYS for end in ("conv_*", "norm_*")},
    (
        Fresh("codebook.hits", "quantize.embedding.weight", lambda codes: codes.new_zeros(len(codes))),
        Fresh("codebook.batches", "quantize.embedding.weight", lambda codes: codes.new_zeros((), dtype=torch.int64)),
    ),
)
