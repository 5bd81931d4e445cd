"""Keys and values of samples that are at different lengths: each row of the cache fills up by itself.

Whoever makes the call says where its slots go (`Places`); mixers take it for any other cache. Legend: B rows of a call, G key-value
heads, L slots of this call, T slots of the longest row, d head width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..slots import Mask
from .keeping import KeyValues, Shared


class Places:
    """Where the slots of the next call go, one answer for all layers: `at` (B, L) int64 in rows `row` (B, 1)."""

    at: Tensor
    row: Tensor

    def set(self, at: Tensor) -> None:
        """Those of a call, (B, L). Slots that are padding go where no row has anything."""
        self.at, self.row = at, torch.arange(len(at), device=at.device)[:, None]


class Ragged(Shared, KeyValues):
    """All keys and values as they come, (rows, G, slots, d); the last slot is that of padding."""

    def __init__(self, k: Tensor, v: Tensor, places: Places) -> None:
        self.k, self.v, self.places = k, v, places

    def extend(self, k: Tensor, v: Tensor, keep: int, mask: Mask) -> tuple[Tensor, Tensor, Mask]:
        """Views of the slots up to the longest row, which `mask`, dense, hides from the others. What stays, `places` decide later."""
        assert mask.dense is not None, "rows of different lengths need a mask each"
        row, at = self.places.row, self.places.at[:, : k.shape[2]]
        for kept, new in ((self.k, k), (self.v, v)):
            kept[row, :, at] = new.transpose(1, 2).to(kept.dtype)  # under autocast they come narrower
        end = mask.dense.shape[-1]
        return self.k[:, :, :end], self.v[:, :, :end], mask

    def narrow(self, batch: int) -> Ragged:
        """The first `batch` rows, sharing memory."""
        return self.rows(0, batch)

    def rows(self, start: int, end: int) -> Ragged:
        """These rows, sharing memory."""
        return Ragged(self.k[start:end], self.v[start:end], self.places)

    def move(self, source: int, target: int, kept: int) -> None:
        """Copies the slots that count. The others become zeros: masks hide them, but nothing hides what is not finite."""
        for part in (self.k, self.v):
            part[target, :, :kept] = part[source, :, :kept]
            part[target, :, kept:] = 0

    def clear(self, row: int) -> None:
        """Zeros."""
        for part in (self.k, self.v):
            part[row] = 0
