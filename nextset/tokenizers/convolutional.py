"""What tokenizers of convolutional nets share: sites that cover squares of pixels (`Convolutional`), and one codebook over them.

Legend: B batch, C image channels, N sites, D width of a code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout, Tokens, grid
from ..nn.codebook import Codebook, Quantised
from ..nn.conv import check_groups
from .base import Tokenizer, TokenizerModule


class Convolutional(Tokenizer, ABC):
    """Level i of both nets has width * multipliers[i] channels in `groups` normalisation groups, and `blocks` residual blocks.

    A site covers 2^(levels - 1) pixels a side. The fields are the leaf's own.
    """

    if TYPE_CHECKING:

        @property
        def width(self) -> int: ...

        @property
        def multipliers(self) -> tuple[int, ...]: ...

        @property
        def blocks(self) -> int: ...

        @property
        def groups(self) -> int: ...

    def check(self, *sizes: int, vocab: int = 2) -> None:
        """Raises UsageError for nets that cannot be built, or where one of the leaf's own `sizes` is below 1 or `vocab` below 2."""
        sizes = (*sizes, self.width, self.blocks, self.groups, *self.multipliers)
        if vocab < 2:
            raise UsageError(f"{self}: vocab must be at least 2")
        if not self.multipliers or min(sizes) < 1:
            raise UsageError(f"{self}: every size must be at least 1, and multipliers not empty")
        if self.channels not in (1, 3):
            raise UsageError(f"{self}: channels must be 1 or 3")
        check_groups(self.width, (1, *self.multipliers), self.groups)

    @property
    def stride(self) -> int:
        """Pixels a side of what one site covers, at the finest scale where there are several."""
        return 2 ** (len(self.multipliers) - 1)

    def layout(self, size: tuple[int, int]) -> Layout:
        """A grid of height / stride by width / stride sites."""
        return self.cut(size, self.stride)

    def fitting(self, images: Tensor) -> Tensor:
        """The images themselves. Raises UsageError where they are not (B, C, H, W) with sides that are multiples of the stride."""
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise UsageError(f"images must be (B, {self.channels}, H, W), got {tuple(images.shape)}")
        self.cut((images.shape[2], images.shape[3]), self.stride)
        return images


class OneCodebook(TokenizerModule):
    """One id a site of a grid, of one `codebook`: leaves say what it quantises, and what pictures its codes make."""

    codebook: Codebook

    @abstractmethod
    def latents(self, images: Tensor) -> Tensor:
        """What the codebook quantises, (B, h, w, D). Raises UsageError for images that do not fit."""

    @abstractmethod
    def paint(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) of codes (B, h, w, D), with gradient."""

    def quantise(self, latents: Tensor) -> Quantised:
        """Codes of latents (B, h, w, D), with the gradient passed straight through and the codebook's loss."""
        return self.codebook(latents)

    def embed(self, ids: Tensor) -> Tensor:
        """Codes of ids (B, N), (B, N, D)."""
        return self.codebook.embed(ids)

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

        The reconstruction (B, C, H, W) carries its gradient: adversarial and perceptual terms are added to the loss by the
        caller. In training mode codes are counted.
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
        """Moves unused codes onto latents of `images`; how many moved. Call it every hundred or so training steps."""
        return self.codebook.revive(self.latents(images))
