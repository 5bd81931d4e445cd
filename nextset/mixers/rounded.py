"""Keys and values in fewer bits than the computation has: half of the memory, or a quarter.

    Narrow     k rounded to bfloat16 (off by at most |k| / 256) or float16 (|k| / 2048)
    Int8       round(k / s) with s = max |k| / 127 over the channels of a slot and head (off by at most s / 2)

One scale a slot and head is per-token quantisation, which KIVI (Liu et al. 2024, arXiv 2402.02750) finds to be enough down to 4 bits. A call
sees its own slots as they come, and earlier ones rounded.

torch's attention takes keys and values of the queries' dtype only. So what was kept is widened for every call and layer into a tensor
that lives as long as that layer computes: to keep the widened past would be to give up the saving. It is read once from the cache and
written once beside it; the layers that share one state (`TwoPass`) share its copy.

Legend: B batch, G key-value heads, L slots of this call, T slots seen, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError, nearest
from ..slots import Mask
from .keeping import Keeping, KeyValues, Whole

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
LARGEST = 127


class Rounded(KeyValues):
    """Those that are kept, (B, G, slots, d) in a dtype of their own."""

    def __init__(self, k: Tensor, v: Tensor) -> None:
        self.k, self.v, self.kept = k, v, 0

    def extend(self, k: Tensor, v: Tensor, keep: int, mask: Mask) -> tuple[Tensor, Tensor, Mask]:
        """The earlier ones widened, and those of the call behind them."""
        before, self.kept = self.kept, self.kept + keep
        seen = []
        for stored, new in ((self.k, k), (self.v, v)):
            largest = torch.finfo(stored.dtype).max  # or attention over what is infinite is not a number
            stored[:, :, before : self.kept] = new[:, :, :keep].detach().clamp(-largest, largest)
            whole = _room(new, before)
            whole[:, :, :before] = stored[:, :, :before]
            whole[:, :, before:] = new
            seen.append(whole)
        return seen[0], seen[1], mask

    def read(self, kept: int) -> int:
        """Once, whoever shares the copy."""
        return kept * (self.nbytes // self.k.shape[2])


@dataclass(frozen=True)
class Narrow(Keeping):
    """Stored in `dtype`, "bfloat16" or "float16"; numbers above 65504 become that in the latter. Exact where keys come in that dtype."""

    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(f"dtype must be bfloat16 or float16, got {self.dtype!r}{nearest(str(self.dtype), DTYPES)}")

    def build(self, shape: tuple[int, int, int, int], like: Tensor) -> KeyValues:
        """Zeros."""
        dtype = DTYPES[self.dtype]
        k, v = like.new_zeros(shape, dtype=dtype), like.new_zeros(shape, dtype=dtype)
        return Whole(k, v) if like.dtype == dtype else Rounded(k, v)


class Quantised(KeyValues):
    """Those that are kept, (B, G, slots, d) int8, and their scales (B, G, slots, 1) float32."""

    def __init__(self, k: Tensor, v: Tensor, k_scale: Tensor, v_scale: Tensor) -> None:
        self.k, self.v, self.k_scale, self.v_scale, self.kept = k, v, k_scale, v_scale, 0

    def extend(self, k: Tensor, v: Tensor, keep: int, mask: Mask) -> tuple[Tensor, Tensor, Mask]:
        """The earlier ones times their scales, and those of the call behind them."""
        before, self.kept = self.kept, self.kept + keep
        seen = []
        for stored, scale, new in ((self.k, self.k_scale, k), (self.v, self.v_scale, v)):
            place = slice(before, self.kept)
            stored[:, :, place], scale[:, :, place] = quantised(new[:, :, :keep].detach())
            whole = _room(new, before)
            torch.mul(stored[:, :, :before], scale[:, :, :before], out=whole[:, :, :before])
            whole[:, :, before:] = new
            seen.append(whole)
        return seen[0], seen[1], mask

    def read(self, kept: int) -> int:
        """Once, whoever shares the copy."""
        return kept * (self.nbytes // self.k.shape[2])


@dataclass(frozen=True)
class Int8(Keeping):
    """A byte a number, and a float32 scale for the d numbers of a slot and head: 1 + 4 / d bytes a number."""

    def build(self, shape: tuple[int, int, int, int], like: Tensor) -> Quantised:
        """Zeros."""
        numbers = (like.new_zeros(shape, dtype=torch.int8) for _ in "kv")
        scales = (like.new_zeros((*shape[:3], 1), dtype=torch.float32) for _ in "kv")
        return Quantised(*numbers, *scales)


def quantised(x: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers (..., d) as int8, and their scales (..., 1) float32; where all are 0, so is their int8."""
    x = x.float()
    scale = (x.abs().amax(-1, keepdim=True) / LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
    return (x / scale).round().to(torch.int8), scale


def _room(new: Tensor, before: int) -> Tensor:
    """A tensor for as many slots before the `new` ones (B, G, L, d)."""
    return new.new_empty(*new.shape[:2], before + new.shape[2], new.shape[3])
