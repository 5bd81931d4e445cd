"""What 1-D tokenizers share: transformers that carry a picture into a few slots which belong to no place of it, and back.

The encoder sees the patches and N learned vectors side by side and gives what these became; the decoder sees N such vectors and one
mask token a patch, and gives what the mask tokens became (TiTok, Yu et al. 2024, arXiv 2406.07550). Places are learned, so a tokenizer
serves one size. Legend: B batch, C image channels, N sites, D width of a net, g patches a side.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Layout, line
from ..mixers import BiasedAttention, Context, TransformerBlock
from ..nn.feedforward import MLP
from ..nn.norm import Layer
from ..slots import Mask
from ..spec import Spec
from .base import Tokenizer

ALL = Context(None, Mask())  # no rotary positions, and all see all
NORM = Layer(eps=1e-5)


@dataclass(frozen=True)
class ViT(Spec):
    """`depth` pre-norm blocks of width `dim` with `heads` heads, over patches of `patch` pixels a side (Dosovitskiy et al. 2020).

    `std` is that of the initial matrices. Small nets need it wide to learn within minutes.
    """

    dim: int
    depth: int
    heads: int
    patch: int = 16
    std: float = 0.02

    def __post_init__(self) -> None:
        if min(self.dim, self.depth, self.heads, self.patch) < 1 or self.dim % self.heads:
            raise UsageError(f"{self}: every size must be at least 1, and heads must divide dim")
        if self.std <= 0:
            raise UsageError(f"{self}: std must be above 0")

    def start(self, *nets: nn.Module) -> None:
        """Initial weights of the maps in `nets`: truncated normal, but for queries, keys and values (Glorot's); biases 0."""
        for net in nets:
            for name, module in net.named_modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    nn.init.trunc_normal_(module.weight, std=self.std, a=-2 * self.std, b=2 * self.std)
                    if name.endswith("qkv"):
                        nn.init.xavier_uniform_(module.weight)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)


SMALL, BASE, LARGE = ViT(512, 8, 8), ViT(768, 12, 12), ViT(1024, 24, 16)  # as TiTok's authors call them


class Tower(nn.Module):
    """Norm, blocks, norm."""

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        self.start, self.norm = NORM.build(vit.dim), NORM.build(vit.dim)
        mixer, feedforward = BiasedAttention(vit.heads), MLP()
        self.blocks = nn.ModuleList(
            TransformerBlock(vit.dim, mixer, feedforward, NORM, dropout=0.0) for _ in range(vit.depth)
        )

    def forward(self, x: Tensor, kept: slice) -> Tensor:
        """(B, L, D) to those of the L slots that are `kept`."""
        x = self.start(x)
        for block in self.blocks:
            x = block(x, ALL)
        return self.norm(x[:, kept])


class SlotEncoder(nn.Module):
    """Pictures to what N learned vectors made of them. One more slot, the first, belongs to nothing."""

    def __init__(self, vit: ViT, side: int, sites: int, channels: int) -> None:
        super().__init__()
        self.patches = (side // vit.patch) ** 2
        self.embed = nn.Conv2d(channels, vit.dim, vit.patch, vit.patch)
        self.first, self.slots = _learned(1, vit.dim), _learned(sites, vit.dim)
        self.places, self.slot_places = _learned(1 + self.patches, vit.dim), _learned(sites, vit.dim)
        self.tower = Tower(vit)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, N, D)."""
        patches, count = self.embed(images).flatten(2).transpose(1, 2), len(images)
        seen = torch.cat([self.first.expand(count, -1, -1), patches], dim=1) + self.places
        asked = (self.slots + self.slot_places).expand(count, -1, -1)
        return self.tower(torch.cat([seen, asked], dim=1), slice(1 + self.patches, None))


class SlotDecoder(nn.Module):
    """N vectors to what a mask token at every patch made of them."""

    def __init__(self, vit: ViT, side: int, sites: int) -> None:
        super().__init__()
        self.side = side // vit.patch
        self.first, self.mask = _learned(1, vit.dim), _learned(1, vit.dim)
        self.places, self.slot_places = _learned(1 + self.side**2, vit.dim), _learned(sites, vit.dim)
        self.tower = Tower(vit)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, g, g, D)."""
        asked = torch.cat([self.first, self.mask.expand(self.side**2, -1)]) + self.places
        slots = torch.cat([asked.expand(len(x), -1, -1), x + self.slot_places], dim=1)
        return self.tower(slots, slice(1, 1 + self.side**2)).unflatten(1, (self.side, self.side))


class PatchPainter(nn.Module):
    """A patch of pixels by a linear map, and a 3x3 convolution over the whole picture, which sees over the edges of patches."""

    def __init__(self, vit: ViT, channels: int) -> None:
        super().__init__()
        self.patch, self.channels = vit.patch, channels
        self.rise = nn.Linear(vit.dim, vit.patch**2 * channels)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, g, g, D) to (B, C, H, W)."""
        pixels = self.rise(hidden).unflatten(-1, (self.patch, self.patch, self.channels))  # (B, g, g, p, p, C)
        return self.smooth(pixels.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3))


def _learned(rows: int, dim: int) -> nn.Parameter:
    return nn.Parameter(dim**-0.5 * torch.randn(rows, dim))


class Slotted(Tokenizer, ABC):
    """Square pictures of `side` pixels on a line of `sites`, through `encoder` and `decoder`. The fields are the leaf's own."""

    if TYPE_CHECKING:

        @property
        def side(self) -> int: ...

        @property
        def sites(self) -> int: ...

        @property
        def encoder(self) -> ViT: ...

        @property
        def decoder(self) -> ViT: ...

    def check(self, *sizes: int) -> None:
        """Raises UsageError for nets that cannot be built, or where one of the leaf's own `sizes` is below 1."""
        if min(self.side, self.sites, *sizes) < 1:
            raise UsageError(f"{self}: every size must be at least 1")
        if self.side % self.encoder.patch or self.side % self.decoder.patch:
            raise UsageError(f"{self}: side must be a multiple of the patch of both nets")
        if self.channels not in (1, 3):
            raise UsageError(f"{self}: channels must be 1 or 3")

    def layout(self, size: tuple[int, int]) -> Layout:
        """A line, for images of side x side alone."""
        if size != (self.side, self.side):
            raise UsageError(
                f"images of {size[0]}x{size[1]} do not fit tokenizer {type(self).__name__}, which learns the places of "
                f"{self.side}x{self.side}: change side"
            )
        return line(self.sites)

    def fitting(self, images: Tensor) -> Tensor:
        """The images themselves. Raises UsageError where they are not (B, C, side, side)."""
        self.layout((super().fitting(images).shape[2], images.shape[3]))
        return images
