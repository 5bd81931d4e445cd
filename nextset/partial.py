"""A picture that is being written, and how to look at it.

Legend: B batch, C channels, H height, W width. Images are float (B, C, H, W) in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .decode import Decoding
from .layout import Tokens
from .system import System
from .tokenizers.base import TokenizerModule


class Painting(Protocol):
    """Turns tokens into pictures."""

    tokenizer: TokenizerModule

    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] of tokens."""


@dataclass(frozen=True)
class Partial:
    """A picture being written: what `decoding` knows after a step."""

    decoding: Decoding
    system: System
    model: Painting

    @property
    def step(self) -> int:
        """Steps done."""
        return self.decoding.step

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.decoding.steps

    @torch.inference_mode()
    def images(self) -> Tensor:
        """The pictures so far (B, C, H, W): known parts decoded, the rest mid-grey; of a pyramid the scales that are whole."""
        known = self.decoding.known
        whole = sum(bool(known[..., :end].all()) for end in self.system.layout.ends)
        if 0 < whole < len(self.system.layout.blocks):
            sketch = self.model.tokenizer.sketch(self.decoding.tokens, whole)
            if sketch is not None:
                return F.interpolate(sketch, self.system.size, mode="bilinear").clamp(-1, 1)
        known = known.expand(len(self.decoding.tokens), -1) if known.ndim == 1 else known
        images = self.model.decode(self.decoding.tokens)
        shown = self.system.layout.painted(known, self.system.size)
        return torch.where(shown[:, None], images, torch.zeros_like(images))
