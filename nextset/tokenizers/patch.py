"""Patch tokenizer: a site is a square of pixels as they are, a vector. Exact, without weights.

Continuous tokens without an autoencoder (MAR, arXiv 2406.11838, on pixels of ImageNet-64). Legend: B batch, N sites, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..layout import Continuous, Layout, Tokens, grid
from .base import Tokenizer, TokenizerModule


class PatchModule(TokenizerModule):
    """Cuts images into squares."""

    def __init__(self, spec: Patch) -> None:
        super().__init__()
        self.spec = spec

    def encode(self, images: Tensor) -> Tokens:
        """Vectors (B, N, C side^2), channel by channel."""
        data = F.pixel_unshuffle(images.detach(), self.spec.side)
        return Tokens(data.flatten(2).transpose(1, 2), grid(*data.shape[-2:]))

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W)."""
        return F.pixel_shuffle(tokens.data.transpose(1, 2).unflatten(2, tokens.layout.shape), self.spec.side)

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """Nothing to learn."""
        raise UsageError("tokenizer Patch has no weights to train; choose a learned one, such as VQ")


@dataclass(frozen=True)
class Patch(Tokenizer):
    """Squares of `side` x `side` pixels of 1 (grey) or 3 (RGB) channels."""

    side: int
    channels: int = 1

    def __post_init__(self) -> None:
        if self.side < 1 or self.channels not in (1, 3):
            raise UsageError(f"{self}: side must be at least 1 and channels 1 or 3")

    @property
    def unit(self) -> Continuous:
        """A vector of all values of a square."""
        return Continuous(self.channels * self.side**2)

    def layout(self, size: tuple[int, int]) -> Layout:
        """A grid of squares."""
        return self.cut(size, self.side)

    def build(self) -> PatchModule:
        """The cutting."""
        return PatchModule(self)
