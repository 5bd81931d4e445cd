"""What tokenizers of convolutional nets share: sites that cover squares of pixels."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING

from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..nn.conv import check_groups
from .base import Tokenizer


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
        self.cut((super().fitting(images).shape[2], images.shape[3]), self.stride)
        return images
