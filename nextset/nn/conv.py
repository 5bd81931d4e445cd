"""The convolutional encoder and decoder of the VQGAN family (Esser et al. 2021, arXiv 2012.09841), as latent diffusion uses it.

GroupNorm and SiLU before every convolution, residual blocks, halving and doubling between levels, attention in the middle and,
where asked for, at the lowest resolution. Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..slots import Mask
from .attend import attend

EPS = 1e-6


def check_groups(width: int, multipliers: Sequence[int], groups: int) -> None:
    """Raises UsageError where `groups` does not divide the channels of every level."""
    for multiplier in multipliers:
        if (width * multiplier) % groups:
            raise UsageError(
                f"groups={groups} must divide the {width * multiplier} channels of every level; use fewer groups"
            )


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 convolution on the short way where the width changes."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, EPS)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outputs, EPS)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return self.shortcut(x) + h


class AttentionBlock(nn.Module):
    """x plus attention of one head between all sites of the map."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, EPS)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)[:, None].chunk(3, dim=-1)  # (B, 1, H W, C)
        mixed = attend(q, k, v, Mask())
        return x + self.out(mixed[:, 0].transpose(1, 2).unflatten(2, x.shape[-2:]))


class Downsample(nn.Module):
    """Halves a map: one row and column of zeros below and to the right, then a convolution of stride 2 without padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / 2, W / 2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Doubles a map by repeating pixels, then convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 2 H, 2 W)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The blocks of one resolution, each followed by attention where `attention` is set, then the change of resolution."""

    def __init__(
        self, blocks: Sequence[ResidualBlock], attention: Sequence[AttentionBlock], resample: nn.Module
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention = nn.ModuleList(attention)
        self.resample = resample

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the next level's map."""
        for i, block in enumerate(self.blocks):
            x = block(x)
            if self.attention:
                x = self.attention[i](x)
        return self.resample(x)


def level(widths: tuple[int, int], blocks: int, groups: int, attention: bool, resample: nn.Module) -> Level:
    """`blocks` residual blocks from `widths[0]` to `widths[1]` channels, the first of which changes the width."""
    inputs, outputs = widths
    residual = [ResidualBlock(inputs if i == 0 else outputs, outputs, groups) for i in range(blocks)]
    return Level(residual, [AttentionBlock(outputs, groups) for _ in range(blocks if attention else 0)], resample)


def attended(attention: Sequence[int] | None, levels: int) -> list[bool]:
    """Which of `levels` levels the indices name. Raises UsageError where there is no such level."""
    attention = attention or ()
    if any(not -levels <= index < levels for index in attention):
        raise UsageError(f"attention={tuple(attention)} must name some of {levels} levels")
    named = {index % levels for index in attention}
    return [index in named for index in range(levels)]


def middle(channels: int, groups: int, attention: bool = True) -> nn.Sequential:
    """Residual block, attention (or nothing), residual block: what both nets have at the lowest resolution."""
    return nn.Sequential(
        ResidualBlock(channels, channels, groups),
        AttentionBlock(channels, groups) if attention else nn.Identity(),
        ResidualBlock(channels, channels, groups),
    )


class Encoder(nn.Module):
    """Images to a map that is 2^(levels - 1) times smaller.

    Level i has width * multipliers[i] channels and `blocks` residual blocks; `attention` lists the levels (from the end where
    negative) that have attention too, beside the middle; None: not even the middle has.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        out: int,
        groups: int = 32,
        attention: Sequence[int] | None = (-1,),
    ) -> None:
        super().__init__()
        check_groups(width, (1, *multipliers), groups)
        widths = [width, *(width * m for m in multipliers)]
        last = len(multipliers) - 1
        seen = attended(attention, len(multipliers))
        self.conv_in = nn.Conv2d(channels, width, 3, padding=1)
        self.levels = nn.Sequential(
            *(
                level((a, b), blocks, groups, seen[i], nn.Identity() if i == last else Downsample(b))
                for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
            )
        )
        self.middle = middle(widths[-1], groups, attention is not None)
        self.norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H / f, W / f) with f = 2^(levels - 1), which must divide H and W."""
        x = self.middle(self.levels(self.conv_in(x)))
        return self.conv_out(F.silu(self.norm_out(x)))


class Decoder(nn.Module):
    """The way back: `multipliers` as in the encoder (walked from the last to the first), one more block a level.

    `inputs` are the channels of the latent map, `channels` those of the image.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        channels: int,
        groups: int = 32,
        attention: Sequence[int] | None = (-1,),
    ) -> None:
        super().__init__()
        check_groups(width, multipliers, groups)
        widths = [width * m for m in (multipliers[-1], *reversed(multipliers))]
        last = len(multipliers) - 1
        seen = attended(attention, len(multipliers))[::-1]
        self.conv_in = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.middle = middle(widths[0], groups, attention is not None)
        self.levels = nn.Sequential(
            *(
                level((a, b), blocks + 1, groups, seen[i], nn.Identity() if i == last else Upsample(b))
                for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
            )
        )
        self.norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to images (B, channels, f h, f w)."""
        x = self.levels(self.middle(self.conv_in(x)))
        return self.conv_out(F.silu(self.norm_out(x)))
