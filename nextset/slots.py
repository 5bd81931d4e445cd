"""Slots: the positions of the sequence that a backbone computes, and the rule of who sees whom.

A wiring describes its slots by eight integers each, all known before any weight is touched; ranks count sites in plan order.

    holds      the latest rank whose value the slot carries; PREFIX a condition slot, BLANK no token's (a query, a mask, noise)
    at         rank of the site it sits at (its position), or NONE
    predicts   rank of the site it predicts, or NONE
    also       rank of a second site that it predicts, by a second readout, or NONE
    avail      from which step on others may see it (NEVER: a pure query)
    until      up to which step others may see it (FOREVER: to the end; less: a query that is asked again, or dropped)
    sees       up to which step it sees others
    group      slots of one group see each other; NONE: no group

Slot q sees slot k iff `avail[k] <= sees[q] <= until[k]`, or both are of one group. That is the whole mask of GPT, RAR, RandAR,
VAR, PAR, ARPG, MaskGIT, ACDiT and XLNet alike. The "steps" of these three may be any rising numbers.

Legend: B batch, L slots of this call, T slots in the cache and this call together, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

PREFIX = -1
BLANK = -2
NONE = -1
NEVER = 1 << 30
FOREVER = 1 << 30
COLUMNS = ("holds", "at", "predicts", "avail", "sees", "group", "until", "also")


@dataclass(frozen=True, eq=False)
class SlotTable:
    """The eight integers of every slot, each an int64 array (L,)."""

    holds: np.ndarray
    at: np.ndarray
    predicts: np.ndarray
    avail: np.ndarray
    sees: np.ndarray
    group: np.ndarray
    until: np.ndarray
    also: np.ndarray

    @staticmethod
    def of(
        holds: Sequence[int] | np.ndarray,
        at: Sequence[int] | np.ndarray,
        predicts: Sequence[int] | np.ndarray,
        avail: Sequence[int] | np.ndarray,
        sees: Sequence[int] | np.ndarray,
        group: Sequence[int] | np.ndarray | int = NONE,
        until: Sequence[int] | np.ndarray | int = FOREVER,
        also: Sequence[int] | np.ndarray | int = NONE,
    ) -> SlotTable:
        """A table from any integer sequences of one length; `group`, `until` and `also` may be one number for all."""
        columns = [np.asarray(column, np.int64) for column in (holds, at, predicts, avail, sees, group, until, also)]
        columns[5:] = [np.broadcast_to(column, columns[0].shape) for column in columns[5:]]
        assert all(column.shape == columns[0].shape for column in columns), "columns of a slot table differ in length"
        return SlotTable(**dict(zip(COLUMNS, columns, strict=True)))

    def __len__(self) -> int:
        return len(self.holds)

    @property
    def lasting(self) -> np.ndarray:
        """Which slots later steps may see, (L,) bool: these stay in a cache."""
        return (self.avail != NEVER) & (self.until == FOREVER)

    def take(self, index: slice | np.ndarray) -> SlotTable:
        """The chosen slots, in that order."""
        return SlotTable(*(getattr(self, column)[index] for column in COLUMNS))

    def join(self, *others: SlotTable) -> SlotTable:
        """These slots, then the others."""
        return SlotTable(*(np.concatenate([getattr(table, c) for table in (self, *others)]) for c in COLUMNS))

    @property
    def predicted(self) -> np.ndarray:
        """The ranks that some slot predicts, rising."""
        return np.setdiff1d(np.concatenate([self.predicts, self.also]), [NONE])

    def predictors(self, readout: int = 0) -> np.ndarray:
        """For each of `predicted` the index of the slot whose first (0) or second (1) readout predicts it, -1 where none does."""
        column = (self.predicts, self.also)[readout]
        where = np.flatnonzero(column != NONE)
        found = np.full(len(self.predicted), -1)
        found[np.searchsorted(self.predicted, column[where])] = where
        return found


def visible(queries: SlotTable, keys: SlotTable) -> np.ndarray:
    """The rule above as a boolean array (queries, keys)."""
    sees = queries.sees[:, None]
    by_step = (keys.avail[None, :] <= sees) & (sees <= keys.until[None, :])
    by_group = (queries.group[:, None] == keys.group[None, :]) & (queries.group[:, None] != NONE)
    return by_step | by_group


@dataclass(frozen=True, eq=False)
class Mask:
    """Who sees whom in one call, decided once per plan. `dense` is (L, T) or (B, 1, L, T) bool; None where `causal` or all see all."""

    causal: bool = False
    dense: Tensor | None = None

    @staticmethod
    def between(queries: SlotTable, keys: SlotTable) -> Mask:
        """The mask of `queries` (the last slots of `keys`) over `keys`, in its cheapest form."""
        seen = visible(queries, keys)
        if seen.all():
            return Mask()
        if len(queries) == len(keys) and np.array_equal(seen, np.tri(len(keys), dtype=bool)):
            return Mask(causal=True)
        return Mask(dense=torch.from_numpy(seen))

    @staticmethod
    def parts(queries: SlotTable, keys: SlotTable) -> tuple[Mask, Mask] | None:
        """Two masks in place of one where blank slots are pure queries after all others: that of the other slots among
        themselves, and that of the queries over them. None where blank slots are seen, lie between others, or are absent."""
        blank = keys.holds == BLANK
        end = len(keys) - int(blank.sum())
        never = (keys.avail[end:] == NEVER) & (keys.group[end:] == NONE)
        if end == len(keys) or not (blank[end:] & never).all():
            return None
        memory, start = keys.take(slice(0, end)), len(queries) - (len(keys) - end)
        return (
            Mask.between(queries.take(slice(0, start)), memory),
            Mask.between(queries.take(slice(start, None)), memory),
        )

    def to(self, device: torch.device) -> Mask:
        """The mask with its tensor on `device`."""
        return self if self.dense is None else replace(self, dense=self.dense.to(device))

    def padded(self, valid: Tensor, queries: int, keys: int, own: bool = True) -> Mask:
        """Hides keys that are padding: `valid` (B, keys) bool. Padding still sees itself, so no row of the softmax is empty.

        `own` False: the queries are not among the keys.
        """
        dense = self.dense
        if dense is None:
            dense = torch.ones(queries, keys, dtype=torch.bool, device=valid.device)
            dense = dense.tril() if self.causal else dense
        seen = valid[:, None, None, :keys]
        if not own:
            return Mask(dense=dense & seen)
        place = torch.arange(keys, device=valid.device)
        return Mask(dense=torch.where(seen, dense, place[keys - queries :, None] == place))


@dataclass(frozen=True)
class Vectors:
    """Vectors `values` (B, G, D) for AdaLN where many slots share one; `of` (L,) int64 says which each slot takes.

    With `some`, only some slots have one: -1 stands for none, and the slot stays unmodulated (shift 0, scale 0, gate 1).
    """

    values: Tensor
    of: Tensor
    some: bool = False


@dataclass(frozen=True)
class Source:
    """What slots may read beside the sequence by cross-attention: vectors `values` (B, T, E); `mask` hides those that are padding."""

    values: Tensor
    mask: Mask = field(default_factory=Mask)


@dataclass(frozen=True)
class Slots:
    """What a backbone is given.

    x (B, L, D) contents; site (L,) or (B, L) int64, the site each slot sits at (-1: none); `mask`; `keep`, how many leading
    slots later steps may see (these stay in the cache); `vector` (B, D), or (B, L, D) or `Vectors` where slots differ, a condition
    for AdaLN, where there is one; `target`, as `site`, the site that each slot predicts. `filled` and `blank` index the slots with
    and without a value of their own; `parts` are the masks of each where the blank ones are pure queries (`Mask.parts`). A backbone
    that reads codes out on its way calls `inject(depth, h)` with the readout h (B, L, D) of code `depth`, and adds to its stream
    what that returns, (B, L, D). `source` is read by backbones with cross-attention. One whose halves are guided inside (`blend`) hands its
    stream (B, L, D) over after every block, with the block's number from the end, and goes on with what it gets.
    """

    x: Tensor
    site: Tensor
    mask: Mask
    keep: int = 0
    vector: Tensor | Vectors | None = None
    target: Tensor | None = None
    filled: slice | Tensor = field(default_factory=lambda: slice(None))
    blank: slice | Tensor = field(default_factory=lambda: slice(0, 0))
    inject: Callable[[int, Tensor], Tensor] | None = None
    parts: tuple[Mask, Mask] | None = None
    source: Source | None = None
    blend: Callable[[int, Tensor], Tensor] | None = None
