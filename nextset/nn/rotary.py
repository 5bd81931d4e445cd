"""Rotary positions over the axes of a layout (RoFormer, arXiv 2104.09864; the 2-D form of LlamaGen).

A head's channels are split evenly between the axes; within an axis, consecutive channels (2i, 2i + 1) form the pairs that
are rotated by coordinate * base^(-2i / channels of the axis).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Layout
from ..spec import Spec
from .precision import at_least_float32


class Placed(Protocol):
    """Where sites are: a layout, or its sites placed anew."""

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of A axes."""

    def coordinates(self) -> Tensor:
        """Whole numbers, (N, A)."""


class Rotary(nn.Module):
    """e^(i angle) of every site of a layout and channel pair, in single precision whatever the weights are cast to.

    A slot without a site gets zeros, not 1: its rotated queries and keys vanish, so it is attended to with logit 0
    and attends evenly. Published LlamaGen weights were trained with that.
    """

    def __init__(self, layout: Placed, head_dim: int, base: float) -> None:
        super().__init__()
        axes = len(layout.axes)
        if head_dim % (2 * axes):
            raise UsageError(
                f"rotary positions on {axes} axes need a head width that {2 * axes} divides, got {head_dim}"
            )
        self.layout, self.head_dim, self.base = layout, head_dim, base
        self._tables: dict[torch.device, Tensor] = {}

    def forward(self, site: Tensor, target: Tensor | None = None) -> Tensor:
        """Turns of slots at `site` (L,) or (B, L), -1 for none, wherever they look: complex64 (L, head_dim / 2) or (B, 1, L, head_dim / 2)."""
        if site.device not in self._tables:
            self._tables[site.device] = self._table().to(site.device)
        turns = self._tables[site.device][site]  # index -1 is the last row, the absent one
        return turns if site.ndim == 1 else turns[:, None]

    def _table(self) -> Tensor:
        part = self.head_dim // len(self.layout.axes)
        frequencies = self.base ** (-torch.arange(0, part, 2, dtype=torch.float32) / part)
        angles = (self.layout.coordinates()[:, :, None] * frequencies).flatten(1)  # (N, head_dim / 2)
        turns = torch.complex(angles.cos(), angles.sin())
        return torch.cat([turns, turns.new_zeros(1, self.head_dim // 2)])


class RotaryPair(nn.Module):
    """Half of a head's channels turned by the site where a slot sits, half by the site that it predicts.

    On a grid these are DAR's four coordinates (arXiv 2503.11129), a quarter of the channels each. Queries and keys turn alike.
    """

    def __init__(self, layout: Layout, head_dim: int, base: float) -> None:
        super().__init__()
        if head_dim % 2:
            raise UsageError(
                f"rotary positions of two sites share a head's channels evenly, got a head width of {head_dim}"
            )
        self.each = Rotary(layout, head_dim // 2, base)

    def forward(self, site: Tensor, target: Tensor | None = None) -> Tensor:
        """Turns of slots at `site` that predict `target`, (L,) or (B, L), -1 for none."""
        assert target is not None, "the slots of a wiring say what they predict"
        return torch.cat([self.each(site), self.each(target)], dim=-1)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turns each channel pair of `x` (B, heads, L, head_dim) by its slot's angle, as one complex number, in at least single precision."""
    pairs = torch.view_as_complex(at_least_float32(x).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


@dataclass(frozen=True)
class Turning(Spec, ABC):
    """Describes by which sites rotary positions turn a slot."""

    @abstractmethod
    def build(self, layout: Layout, head_dim: int, base: float) -> Rotary | RotaryPair:
        """The tables for heads of width `head_dim`. Raises UsageError for a width that cannot be shared out."""


@dataclass(frozen=True)
class ByOwn(Turning):
    """By the site where it sits."""

    def build(self, layout: Layout, head_dim: int, base: float) -> Rotary:
        """The tables."""
        return Rotary(layout, head_dim, base)


@dataclass(frozen=True)
class Spread:
    """The sites of a pyramid by row and column alone, those of coarse maps spread over a fine one of (height, width).

    Row i of a map of h rows lies at round(i height / h), so that sites which show the same part of the picture lie together whatever
    their scale (Infinity, arXiv 2412.04431). Without `fine`, rows and columns are as they are counted.
    """

    layout: Layout
    fine: tuple[int, int] | None

    @property
    def axes(self) -> tuple[str, ...]:
        """Rows and columns."""
        return ("y", "x")

    def coordinates(self) -> Tensor:
        """Of every site, (N, 2) float32."""
        found = []
        for *_, height, width in self.layout.blocks:
            tall, wide = self.fine or (height, width)
            rows, columns = (torch.arange(n) * (side / n) for n, side in ((height, tall), (width, wide)))
            found.append(torch.cartesian_prod(rows.round(), columns.round()).view(-1, 2))
        return torch.cat(found)


@dataclass(frozen=True)
class BySpread(Turning):
    """By row and column on a fine map of the picture (`Spread`), whatever the scale.

    `finest` are fine maps (height, width), one for every shape of picture: that which is shaped most like the last map of the layout
    counts. None: sites of every scale count their own rows and columns.
    """

    finest: tuple[tuple[int, int], ...] = ()

    def build(self, layout: Layout, head_dim: int, base: float) -> Rotary:
        """The tables. Raises UsageError for sites that are in no map, and for maps that are finer than the finest."""
        if layout.axes not in (("y", "x"), ("scale", "y", "x")):
            raise UsageError(f"{self} turns by row and column alone, but the sites lie on {layout.axes}")
        *_, height, width = layout.blocks[-1]
        fine = min(self.finest, key=lambda map_: abs(map_[0] / map_[1] - height / width), default=None)
        if fine and (fine[0] < height or fine[1] < width):
            raise UsageError(f"{self}: a map of {height}x{width} does not fit on the finest, {fine[0]}x{fine[1]}")
        return Rotary(Spread(layout, fine), head_dim, base)


@dataclass(frozen=True)
class ByOwnAndNext(Turning):
    """By that, and by the site that it predicts."""

    def build(self, layout: Layout, head_dim: int, base: float) -> RotaryPair:
        """The tables."""
        return RotaryPair(layout, head_dim, base)
