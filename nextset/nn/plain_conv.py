"""The convolutional encoder and decoder of MaskGIT's VQGAN (Chang et al. 2022, arXiv 2202.04200), as open-muse has them in PyTorch.

VQGAN's nets (conv.py) without attention and without biases in residual blocks; maps are halved by averaging, and the decoder has as
many blocks a level as the encoder. Where the width changes, the short way of a block starts behind it (`Residual`). Legend: B batch,
C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .conv import EPS, check_groups


class Residual(nn.Module):
    """x + h with h = conv(silu(norm(conv(silu(norm(x)))))); h + shortcut(h) where the width changes, which forgets x.

    The published weights were trained with that.
    """

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, EPS)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(groups, outputs, EPS)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = None if inputs == outputs else nn.Conv2d(outputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.shortcut is None else self.shortcut(h))


class PlainLevel(nn.Module):
    """The blocks of one resolution, and a convolution after doubling it where there is one."""

    def __init__(self, inputs: int, outputs: int, blocks: int, groups: int, rise: bool = False) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Residual(inputs if i == 0 else outputs, outputs, groups) for i in range(blocks)))
        self.rise = nn.Conv2d(outputs, outputs, 3, padding=1) if rise else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W), or twice as large."""
        x = self.blocks(x)
        return x if self.rise is None else self.rise(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class PlainEncoder(nn.Module):
    """Images to a map that is 2^(levels - 1) times smaller; level i has width * multipliers[i] channels and `blocks` blocks."""

    def __init__(
        self, channels: int, width: int, multipliers: Sequence[int], blocks: int, out: int, groups: int
    ) -> None:
        super().__init__()
        check_groups(width, (1, *multipliers), groups)
        widths = [width, *(width * m for m in multipliers)]
        self.conv_in = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.levels = nn.ModuleList(PlainLevel(a, b, blocks, groups) for a, b in zip(widths, widths[1:], strict=False))
        self.middle = nn.Sequential(*(Residual(widths[-1], widths[-1], groups) for _ in range(blocks)))
        self.norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H / f, W / f) with f = 2^(levels - 1), which must divide H and W."""
        x = self.conv_in(x)
        for i, level in enumerate(self.levels):
            x = level(F.avg_pool2d(x, 2) if i else x)
        return self.conv_out(F.silu(self.norm_out(self.middle(x))))


class PlainDecoder(nn.Module):
    """The way back. Levels are listed as in the encoder, from the finest, and walked from the last to the first."""

    def __init__(
        self, inputs: int, width: int, multipliers: Sequence[int], blocks: int, channels: int, groups: int
    ) -> None:
        super().__init__()
        check_groups(width, multipliers, groups)
        widths = [width * m for m in (*multipliers, multipliers[-1])]
        self.conv_in = nn.Conv2d(inputs, widths[-1], 3, padding=1)
        self.middle = nn.Sequential(*(Residual(widths[-1], widths[-1], groups) for _ in range(blocks)))
        self.levels = nn.ModuleList(
            PlainLevel(b, a, blocks, groups, rise=i > 0)
            for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
        )
        self.norm_out = nn.GroupNorm(groups, widths[0], EPS)
        self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to images (B, channels, f h, f w)."""
        x = self.middle(self.conv_in(x))
        for level in reversed(self.levels):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))
