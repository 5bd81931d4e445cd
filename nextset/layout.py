"""Where tokens live: `Layout` names the sites of one sample, `Tokens` are values at those sites.

Legend: B batch, N sites, A axes, Q codes per site, C latent channels.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import UsageError
from .spec import Spec


@dataclass(frozen=True)
class Layout(Spec):
    """The sites of one sample with integer coordinates on named axes.

    `blocks` are boxes of sites, one after another, raster inside a box (last axis fastest): a grid is one box, a pyramid one
    box per scale. With several boxes the first axis counts them. Build one with `grid`, `line`, `video` or `pyramid`.
    """

    axes: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.blocks or any(size < 1 for block in self.blocks for size in block):
            raise UsageError(f"a layout needs sizes of at least 1, got {self.blocks}")

    @property
    def sites(self) -> int:
        """N, the number of sites."""
        return len(_coordinates(self))

    @property
    def shape(self) -> tuple[int, ...]:
        """The box of a layout that has only one: (h, w) of a grid, (t, h, w) of a video."""
        if len(self.blocks) > 1:
            raise UsageError(f"{self} has {len(self.blocks)} blocks, so no single shape")
        return self.blocks[0]

    @property
    def ends(self) -> tuple[int, ...]:
        """For every block how many sites it and those before it have."""
        return tuple(itertools.accumulate(math.prod(block) for block in self.blocks))

    def coordinates(self) -> Tensor:
        """Integer coordinates of every site, (N, A) int64."""
        return torch.tensor(_coordinates(self), dtype=torch.int64)

    def touched(self, region: Tensor) -> Tensor:
        """Sites whose part of the picture meets `region`, (B, H, W) bool to (B, N) bool."""
        if self.axes[-2:] != ("y", "x"):
            raise UsageError(f"sites on the axes {self.axes} have no place in the picture, so none can be kept")
        maps = [F.adaptive_max_pool2d(region[:, None].float(), block[-2:]) for block in self.blocks]
        copies = [math.prod(block[:-2]) for block in self.blocks]
        return torch.cat([m.flatten(1).repeat(1, n) for m, n in zip(maps, copies, strict=True)], dim=1).bool()

    def painted(self, known: Tensor, size: tuple[int, int]) -> Tensor:
        """The part of a picture of `size` (H, W) that known sites of the last block cover, (B, N) bool to (B, H, W) bool."""
        height, width = self.blocks[-1][-2:] if self.axes[-2:] == ("y", "x") else (1, 1)
        known = known[:, -height * width :].reshape(-1, 1, height, width)
        return F.interpolate(known.float(), size=size, mode="nearest")[:, 0].bool()


@functools.lru_cache(maxsize=256)
def _coordinates(layout: Layout) -> tuple[tuple[int, ...], ...]:
    counted = len(layout.axes) > len(layout.blocks[0])
    boxes = (itertools.product(*map(range, block)) for block in layout.blocks)
    return tuple((*((i,) if counted else ()), *place) for i, box in enumerate(boxes) for place in box)


def grid(height: int, width: int) -> Layout:
    """Sites of an image, row by row."""
    return Layout(("y", "x"), ((height, width),))


def line(length: int) -> Layout:
    """Sites of a 1-D tokenizer."""
    return Layout(("i",), ((length,),))


def video(frames: int, height: int, width: int) -> Layout:
    """Sites of a clip, frame by frame."""
    return Layout(("t", "y", "x"), ((frames, height, width),))


def pyramid(*sides: int | tuple[int, int]) -> Layout:
    """Sites of maps from coarse to fine, one block per scale: squares of a side, or (height, width)."""
    return Layout(("scale", "y", "x"), tuple((side, side) if isinstance(side, int) else side for side in sides))


@dataclass(frozen=True)
class Tokens:
    """Values at the sites of a layout: ids (B, N) or (B, N, Q) int64, or latents (B, N, C) floating point."""

    data: Tensor
    layout: Layout

    def __post_init__(self) -> None:
        if self.data.ndim not in (2, 3) or self.data.shape[1] != self.layout.sites:
            raise UsageError(
                f"tokens of shape {tuple(self.data.shape)} do not fit a layout of {self.layout.sites} sites"
            )
        if self.data.is_floating_point() and self.data.ndim == 2:
            raise UsageError("latent tokens need a channel axis: (B, N, C)")

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class Discrete(Spec):
    """A token is `codes` ids, each in [0, vocab)."""

    vocab: int
    codes: int = 1


@dataclass(frozen=True)
class Continuous(Spec):
    """A token is a vector of `dim` real numbers."""

    dim: int


Unit = Discrete | Continuous


class Codec(Protocol):
    """What the parts of a network may read of the frozen tokenizer. They keep its methods, never the module: it is not theirs."""

    def embed(self, ids: Tensor) -> Tensor:
        """The code vectors of ids (...), (..., C); of several codes a site each its own."""

    def feedback(self, tokens: Tokens, scales: range) -> Tensor:
        """What the blocks `scales` of a pyramid are predicted from, (B, n, C) for their n sites: each made of those before it."""


def blank(unit: Unit, layout: Layout, batch: int, device: torch.device) -> Tokens:
    """Zeros where tokens will be."""
    if isinstance(unit, Continuous):
        return Tokens(torch.zeros(batch, layout.sites, unit.dim, device=device), layout)
    shape = (batch, layout.sites) if unit.codes == 1 else (batch, layout.sites, unit.codes)
    return Tokens(torch.zeros(shape, dtype=torch.int64, device=device), layout)
