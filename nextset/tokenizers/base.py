"""What every tokenizer promises: a spec (`Tokenizer`) that builds a module (`TokenizerModule`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Layout, Tokens, Unit, grid, pyramid
from ..spec import Spec


class TokenizerModule(nn.Module, ABC):
    """Images (B, C, H, W) float in [-1, 1] to tokens and back."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tokens:
        """Tokens of a batch of images, on the layout that the spec gives for their size. Deterministic, without gradient."""

    def drawn(self, images: Tensor, layout: Layout, seed: int) -> Tokens:
        """Tokens that a generator is trained on: `encode_on`, or a draw of `seed` where a picture has a distribution of them."""
        return self.encode_on(images, layout)

    @abstractmethod
    def decode(self, tokens: Tokens) -> Tensor:
        """Images (B, C, H, W) of tokens, not clamped."""

    @abstractmethod
    def loss(self, images: Tensor) -> dict[str, Tensor]:
        """What training minimises, under "loss", beside the scalars worth logging. A tokenizer without weights has none."""

    def embed(self, ids: Tensor) -> Tensor:
        """The code vectors of ids (...), (..., C). Raises UsageError where there are none."""
        raise UsageError(f"tokenizer {type(self).__name__.removesuffix('Module')} has no code vectors")

    def encode_on(self, images: Tensor, layout: Layout) -> Tokens:
        """Tokens on a layout of the caller's choice. Raises UsageError where the tokenizer has only one for these images."""
        tokens = self.encode(images)
        if tokens.layout != layout:
            name = type(self).__name__.removesuffix("Module")
            raise UsageError(f"tokenizer {name} encodes these images on {tokens.layout} only, not on {layout}")
        return tokens

    def sketch(self, tokens: Tokens, scales: int) -> Tensor | None:
        """The picture (B, C, h, w) of the first `scales` blocks alone, of any size; None where that means nothing."""
        return None

    def feedback(self, tokens: Tokens, scales: range) -> Tensor:
        """What the blocks `scales` of the layout are predicted from (B, n, C), one after another; only blocks before are read.

        Raises UsageError where the layout has no scales.
        """
        raise UsageError(f"tokenizer {type(self).__name__.removesuffix('Module')} has no scales to feed back")


@dataclass(frozen=True)
class Tokenizer(Spec, ABC):
    """Says what a token is. Leaves add their own fields; `channels` (1 grey, 3 RGB) is one of them."""

    if TYPE_CHECKING:

        @property
        def channels(self) -> int: ...

    @property
    @abstractmethod
    def unit(self) -> Unit:
        """The alphabet of one site."""

    @property
    def paints(self) -> bool:
        """Whether it makes pictures and tokens of each other; a stand-in for one that is not at hand does not."""
        return True

    @abstractmethod
    def layout(self, size: tuple[int, int]) -> Layout:
        """The sites of an image of `size` (height, width). Raises UsageError where the size does not fit."""

    def fitting(self, images: Tensor) -> Tensor:
        """The images themselves. Raises UsageError where they are not (B, C, H, W); kinds of tokenizers also ask for their size."""
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise UsageError(f"images must be (B, {self.channels}, H, W), got {tuple(images.shape)}")
        return images

    def cut(self, size: tuple[int, int], stride: int) -> Layout:
        """A grid whose sites cover `stride` pixels a side. Raises UsageError for sizes that are no multiples of it."""
        if min(size) < 1 or any(side % stride for side in size):
            raise UsageError(
                f"images of {size[0]}x{size[1]} do not fit tokenizer {type(self).__name__}: make both sides multiples of {stride}"
            )
        return grid(size[0] // stride, size[1] // stride)

    def scaled(self, size: tuple[int, int], sides: Sequence[int | tuple[int, int]], stride: int) -> Layout:
        """A pyramid of `sides`, the last of which covers images of `size`. Raises UsageError for another size."""
        layout, last = pyramid(*sides), sides[-1]
        height, width = (side * stride for side in layout.blocks[-1])
        if size != (height, width):
            said = f"side of {last}" if isinstance(last, int) else f"map of {last[0]}x{last[1]}"
            raise UsageError(
                f"images of {size[0]}x{size[1]} do not fit tokenizer {type(self).__name__}, whose last {said} makes "
                f"{height}x{width}: change sides"
            )
        return layout

    def at(self, size: tuple[int, int]) -> Tokenizer:
        """The tokenizer, with the same weights, for images of another size: itself, unless its layout is its own choice."""
        return self

    @abstractmethod
    def build(self) -> TokenizerModule:
        """The module, with fresh weights."""
