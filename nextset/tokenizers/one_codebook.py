"""What tokenizers of one id a site share: one codebook over what an encoder gives.

Legend: B batch, C image channels, N sites, ... the axes of the layout: (h, w) of a grid, (N,) of a line; D width of a code.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layout import Tokens
from ..nn.codebook import Codebook, Quantised
from .base import Tokenizer, TokenizerModule


class OneCodebook(TokenizerModule):
    """One id a site, of one `codebook`: leaves say what it quantises, and what pictures its codes make."""

    spec: Tokenizer
    codebook: Codebook

    @abstractmethod
    def latents(self, images: Tensor) -> Tensor:
        """What the codebook quantises, (B, ..., D). Raises UsageError for images that do not fit."""

    @abstractmethod
    def paint(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) of codes (B, ..., D), with gradient."""

    def quantise(self, latents: Tensor) -> Quantised:
        """Codes of latents (B, ..., D), with the gradient passed straight through and the codebook's loss."""
        return self.codebook(latents)

    def embed(self, ids: Tensor) -> Tensor:
        """Codes of ids (B, N), (B, N, D)."""
        return self.codebook.embed(ids)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tokens:
        """Ids (B, N)."""
        ids = self.codebook.nearest(self.latents(images))
        return Tokens(ids.flatten(1), self.spec.layout((images.shape[-2], images.shape[-1])))

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
