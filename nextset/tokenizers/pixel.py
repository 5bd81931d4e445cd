"""Pixel tokenizer: every pixel is a token, its grey level or its colour. Exact, without weights.

With it the likelihood of tokens is the likelihood of pixels, so bits per dimension need no bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Discrete, Layout, Tokens, grid
from .base import Tokenizer, TokenizerModule

LARGEST_VOCAB = 1 << 16


class PixelModule(TokenizerModule):
    """Rounds each channel to its nearest level; a colour is one id, the first channel most significant."""

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        self.levels, self.channels = levels, channels

    def encode(self, images: Tensor) -> Tokens:
        """Ids (B, H W)."""
        levels = ((images.clamp(-1, 1) + 1) * (0.5 * (self.levels - 1))).round().long()
        ids = (levels * self._places(levels.device)).sum(1)
        return Tokens(ids.flatten(1), grid(*images.shape[-2:]))

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W)."""
        ids = tokens.data.unflatten(1, tokens.layout.shape)[:, None]
        levels = ids // self._places(ids.device) % self.levels
        return levels.float() * (2 / (self.levels - 1)) - 1

    def _places(self, device: torch.device) -> Tensor:
        return self.levels ** torch.arange(self.channels - 1, -1, -1, device=device).view(-1, 1, 1)

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """Nothing to learn."""
        raise UsageError("tokenizer Pixel has no weights to train; choose a learned one, such as VQ")


@dataclass(frozen=True)
class Pixel(Tokenizer):
    """`levels` per channel, evenly spaced over [-1, 1]; 1 channel (grey) or 3 (RGB: one id a colour, levels^3 of them)."""

    levels: int
    channels: int = 1

    def __post_init__(self) -> None:
        if self.levels < 2 or self.channels not in (1, 3):
            raise UsageError(f"{self}: levels must be at least 2 and channels 1 or 3")
        if self.unit.vocab > LARGEST_VOCAB:
            raise UsageError(
                f"{self}: {self.unit.vocab} colours are too many for one id; use at most {int(LARGEST_VOCAB ** (1 / 3))} levels"
            )

    @property
    def unit(self) -> Discrete:
        """levels^channels ids."""
        return Discrete(self.levels**self.channels)

    def layout(self, size: tuple[int, int]) -> Layout:
        """One site a pixel."""
        return grid(*size)

    def build(self) -> PixelModule:
        """The rounding."""
        return PixelModule(self.levels, self.channels)
