"""A window over the past: the first slots and the last ones, and nothing between (StreamingLLM, Xiao et al. 2023, arXiv 2309.17453).

The first slots (the condition, the first tokens) draw attention whatever they hold, so they stay. Slots keep their positions: unlike
in the paper, rotary angles are those of the sites in the picture. A picture has a fixed number of sites, so this saves memory and
reading where pictures are large; what it costs in quality depends on the order (in raster order w slots are w / columns rows above).

Legend: B batch, G key-value heads, L slots of this call, T slots seen, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..slots import Mask
from .keeping import EXACT, Keeping, KeyValues


class Ring(KeyValues):
    """Room for the first slots, for a ring of the last ones, and for those of a call, one after the other: (B, G, slots, d).

    Kept slot s lies at s until the ring is full, and from then on at first + (s - first) mod slots, where the oldest one was. Those of
    a call stay behind the ring while it reads them, and move when the next call comes.
    """

    def __init__(self, k: Tensor, v: Tensor, first: int, slots: int) -> None:
        self.k, self.v, self.first, self.slots = k, v, first, slots
        self.kept = 0  # by all earlier calls, those dropped included
        self.waiting = 0  # how many of them have not moved yet

    def extend(self, k: Tensor, v: Tensor, keep: int, mask: Mask) -> tuple[Tensor, Tensor, Mask]:
        """Views of what is held, in the order in which it lies, and of the call."""
        self._move()
        held, length = self._held(self.kept), k.shape[2]
        self.reserve(self.kept, length)
        end = held + length
        self.k[:, :, held:end] = k
        self.v[:, :, held:end] = v
        mask = self._over_held(mask, length, k.device)
        self.waiting, self.kept = keep, self.kept + keep
        return self.k[:, :, :end], self.v[:, :, :end], mask

    def reserve(self, kept: int, passing: int) -> None:
        """Grows where a call passes more slots than any before it."""
        held = self._held(kept)
        if held + passing > self.k.shape[2]:
            for name in "kv":
                part = getattr(self, name)
                grown = part.new_empty(*part.shape[:2], held + passing, part.shape[3])
                grown[:, :, : part.shape[2]] = part
                setattr(self, name, grown)

    def read(self, kept: int) -> int:
        """Of those that are held."""
        return super().read(self._held(kept))

    def _held(self, kept: int) -> int:
        return min(kept, self.first + self.slots)

    def _move(self) -> None:
        """Puts what the last call kept in its place in the ring."""
        full, before = self.first + self.slots, self.kept - self.waiting
        shift = before - self._held(before)  # slot s of the last call lies at s - shift
        # slots below `full` lie where they belong; of the others only the last ones are not overwritten at once
        slot = max(before, full, self.kept - self.slots)
        while slot < self.kept:
            place = self.first + (slot - self.first) % self.slots
            count = min(self.kept - slot, full - place)
            for part in (self.k, self.v):
                part[:, :, place : place + count] = part[:, :, slot - shift : slot - shift + count]
            slot += count
        self.waiting = 0

    def _over_held(self, mask: Mask, length: int, device: torch.device) -> Mask:
        """The columns of what is held, in the order in which it lies, and of the `length` slots of the call."""
        dropped = self.kept > self._held(self.kept)
        if not dropped or (mask.dense is None and not mask.causal):
            return mask
        total = self.kept + length
        dense = mask.dense
        if dense is None:  # a causal mask is square
            dense = torch.ones(total, total, dtype=torch.bool, device=device).tril()
        turn = self.kept - (self.kept - self.first) % self.slots  # the slot at the start of the ring
        cuts = ((0, self.first), (turn, self.kept), (self.kept - self.slots, turn), (self.kept, total))
        return Mask(dense=torch.cat([dense[..., start:end] for start, end in cuts], dim=-1))


@dataclass(frozen=True)
class Window(Keeping):
    """The `first` slots that were kept first (condition slots count, padding too), and the last `slots` others; a call sees all its own beside them.

    Exact until more were kept than that. Memory is that of first + slots slots and of the largest call's own. A query that sees only
    what was dropped reads zeros.
    """

    slots: int
    first: int = 4

    def __post_init__(self) -> None:
        for name, value in (("slots", self.slots), ("first", self.first)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise UsageError(f"{name} must be a whole number of slots, got {value!r}")
        if self.slots < 1:
            raise UsageError(f"slots must be at least 1, got {self.slots}; to keep nothing but the first, use slots=1")
        if self.first < 0:
            raise UsageError(f"first must be at least 0, got {self.first}; 0 keeps no first slots")

    def build(self, shape: tuple[int, int, int, int], like: Tensor) -> KeyValues:
        """Zeros, with room for one slot behind the window until a call passes more; where nothing can be dropped, no ring."""
        batch, groups, slots, width = shape
        held = self.first + self.slots
        if slots <= held:
            return EXACT.build(shape, like)
        k, v = (like.new_zeros(batch, groups, held + 1, width) for _ in "kv")
        return Ring(k, v, self.first, self.slots)
