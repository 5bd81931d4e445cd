"""Learned positions of the sites of a pyramid: a table of sites and scales (VAR, arXiv 2404.02905), of scales alone (Infinity, arXiv
2412.04431), or one map that is resized to every scale, so that the scales may change (FlexVAR, arXiv 2502.20313).

Legend: N sites, K scales, n sites asked for, D width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layout import Layout
from ..spec import Spec


class PlacesModule(nn.Module, ABC):
    """Positions of sites."""

    @abstractmethod
    def forward(self, layout: Layout, scales: range) -> Tensor:
        """The positions (n, D) of the sites of these blocks of a layout. Raises UsageError for a layout that it does not know."""


class SiteTableModule(PlacesModule):
    """A vector a site and a vector a scale; `block` (N,) int64 says which scale a site is of."""

    block: Tensor

    def __init__(self, dim: int, layout: Layout, std: float) -> None:
        super().__init__()
        self.layout = layout
        self.sites = nn.Parameter(torch.empty(layout.sites, dim).normal_(std=std))
        self.levels = nn.Embedding(len(layout.blocks), dim)
        nn.init.normal_(self.levels.weight, std=std)
        ends = torch.tensor(layout.ends)
        self.register_buffer("block", torch.searchsorted(ends, torch.arange(layout.sites), right=True))

    def forward(self, layout: Layout, scales: range) -> Tensor:
        """Those of the sites and of their scales."""
        if layout != self.layout:
            raise UsageError(
                f"positions SiteTable are those of {self.layout.blocks}, not of {layout.blocks}; ResizedMap fits every pyramid"
            )
        ends = (0, *layout.ends)
        part = slice(ends[scales.start], ends[scales.stop])
        return self.sites[part] + self.levels(self.block[part])


class ScaleTableModule(PlacesModule):
    """A vector a scale, for sites that have positions elsewhere."""

    def __init__(self, dim: int, scales: int, std: float) -> None:
        super().__init__()
        self.levels = nn.Embedding(scales, dim)
        nn.init.normal_(self.levels.weight, std=std)

    def forward(self, layout: Layout, scales: range) -> Tensor:
        """That of the scale for all of its sites."""
        rows = self.levels.weight
        return torch.cat([rows[k].expand(math.prod(layout.blocks[k]), -1) for k in scales])


class ResizedMapModule(PlacesModule):
    """One map (D, side, side), which starts as sines of the row and cosines of the column."""

    def __init__(self, dim: int, side: int) -> None:
        super().__init__()
        frequencies = 10000.0 ** (-torch.arange(0, dim, 2) / dim)
        angles = torch.arange(side)[:, None] * frequencies  # (side, D / 2)
        rows, columns = angles.sin()[:, None].expand(-1, side, -1), angles.cos()[None].expand(side, -1, -1)
        self.map = nn.Parameter(torch.stack([rows, columns], -1).flatten(2).permute(2, 0, 1).contiguous())

    def forward(self, layout: Layout, scales: range) -> Tensor:
        """The map by area at every scale."""
        maps = [F.interpolate(self.map[None], layout.blocks[k][-2:], mode="area") for k in scales]
        return torch.cat([m[0].flatten(1) for m in maps], dim=1).T


@dataclass(frozen=True)
class Places(Spec, ABC):
    """Describes positions."""

    @abstractmethod
    def build(self, dim: int, layout: Layout) -> PlacesModule:
        """The module for width `dim`."""


@dataclass(frozen=True)
class SiteTable(Places):
    """`SiteTableModule`: of one layout only. `std` of the initial vectors."""

    std: float = 0.02

    def build(self, dim: int, layout: Layout) -> SiteTableModule:
        """The tables."""
        return SiteTableModule(dim, layout, self.std)


@dataclass(frozen=True)
class ScaleTable(Places):
    """`ScaleTableModule`: of up to `scales` scales, for a backbone with rotary positions. `std` of the initial vectors."""

    scales: int = 15
    std: float = 0.02

    def build(self, dim: int, layout: Layout) -> ScaleTableModule:
        """The table. Raises UsageError where the layout has more scales."""
        if len(layout.blocks) > self.scales:
            raise UsageError(f"{self} has fewer scales than the {len(layout.blocks)} of {layout.blocks}")
        return ScaleTableModule(dim, self.scales, self.std)


@dataclass(frozen=True)
class ResizedMap(Places):
    """`ResizedMapModule`: a map of `side` x `side`, for pyramids of any sides."""

    side: int = 32

    def __post_init__(self) -> None:
        if self.side < 1:
            raise UsageError(f"{self}: side must be at least 1")

    def build(self, dim: int, layout: Layout) -> ResizedMapModule:
        """The map."""
        if dim % 2:
            raise UsageError(f"{self} has a sine and a cosine for every two channels, so dim must be even, got {dim}")
        return ResizedMapModule(dim, self.side)
