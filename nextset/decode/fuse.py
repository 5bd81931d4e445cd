"""One call of the backbone for samples at steps of their own: their slots side by side, padded, each row with its own mask.

Where blank slots are pure queries (`Slots.parts`), the slots with a value and the queries are padded apart, so that both still lie together.
Legend: B rows, L slots of the call, l of one row, T slots of the longest row, D width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..slots import Mask, Slots, Source
from ..wirings.base import Call

SPARE = 64  # slots of padding that are always worth one call less: they cost less than reading the weights again
SHARE = 0.5  # of padding, for each real slot


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a call: the `half` of some slots that it computes, after the `seen` slots that it has kept."""

    call: Call
    slots: Slots
    half: int
    seen: int

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        """How many slots have a value and how many are queries; or of both together, where that makes no difference."""
        length = self.slots.x.shape[1]
        if self.slots.parts is None:
            return (length,)
        assert isinstance(self.slots.blank, slice), "pure queries come after all other slots"
        return (self.slots.blank.start, length - self.slots.blank.start)

    def own(self, part: Tensor, dims: int) -> Tensor:
        """This row's of a tensor that has `dims` axes where all rows share it, and one more where they do not."""
        return part if part.ndim == dims else part[self.half]


@dataclass(frozen=True, eq=False)
class Fused:
    """The slots of rows in one call, the place `at` (B, L) in the cache of each, and the rows themselves."""

    slots: Slots
    at: Tensor
    rows: Sequence[Row]
    shape: tuple[int, ...]

    def hidden(self, found: Tensor) -> Iterator[Tensor]:
        """Of hidden vectors (B, L, W) those of each row, (l, W)."""
        for row, own in zip(self.rows, found, strict=True):
            if row.widths == self.shape:
                yield own
            else:
                yield torch.cat([own[place : place + width] for place, width in _stretches(row.widths, self.shape)])


def groups(rows: Sequence[Row], aligned: bool, recurrent: bool) -> Iterator[slice]:
    """Cuts rows into runs of neighbours that go into one call each.

    Rows are padded where that costs little. `recurrent` ones cannot be; `aligned` ones take the same call or none together.
    """
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or not _together(rows[start : end + 1], aligned, recurrent):
            yield slice(start, end)
            start = end


def _together(rows: Sequence[Row], aligned: bool, recurrent: bool) -> bool:
    first, last = rows[0], rows[-1]
    if aligned:
        return first.call is last.call
    if len(first.widths) != len(last.widths):
        return False
    if recurrent:
        return first.widths[0] == last.widths[0] and first.slots.keep == last.slots.keep
    real = sum(row.slots.x.shape[1] for row in rows)
    return sum(_shape(rows)) * len(rows) - real <= max(SPARE, SHARE * real)


def fuse(rows: Sequence[Row], spare: int, recurrent: bool) -> Fused:
    """The call of these rows. Padding goes to place `spare` of the cache; `recurrent`: what has a value sees all before it, by itself."""
    first, shape = rows[0].slots, _shape(rows)
    widths = [row.widths for row in rows]

    def spread(of: Callable[[Row], Tensor], fill: int) -> Tensor:
        return _spread([of(row) for row in rows], widths, shape, fill)

    at = spread(lambda row: torch.arange(row.seen, row.seen + row.slots.x.shape[1]), spare).to(first.x.device)
    site, target = (spread(lambda row, n=name: row.own(getattr(row.slots, n), 1), -1) for name in ("site", "target"))  # type: ignore[misc]
    mask, parts = _masks(rows, shape, recurrent)
    if parts is None:
        filled, blank = first.filled, first.blank
    else:
        filled, blank = slice(0, shape[0]), slice(shape[0], sum(shape))
    x, vector = spread(lambda row: row.slots.x[row.half], 0), None
    if isinstance(first.vector, Tensor) and first.vector.ndim == 2:
        vector = torch.stack([_vector(row) for row in rows])
    elif first.vector is not None:
        vector = spread(_vector, 0)
    slots = Slots(x, site, mask, first.keep, vector, target, filled, blank, None, parts, _source(rows))
    return Fused(slots, at, rows, shape)


def _vector(row: Row) -> Tensor:
    assert isinstance(row.slots.vector, Tensor), (
        "only wirings of noisy tokens, which are asked several times, share vectors"
    )
    return row.slots.vector[row.half]


def _shape(rows: Sequence[Row]) -> tuple[int, ...]:
    """The widths that all rows are padded to."""
    return tuple(map(max, zip(*(row.widths for row in rows), strict=True)))


def _stretches(widths: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Where each stretch of a padded row begins, and how long it is."""
    place = 0
    for width, room in zip(widths, shape, strict=True):
        yield place, width
        place += room


def _spread(rows: list[Tensor], widths: list[tuple[int, ...]], shape: tuple[int, ...], fill: int) -> Tensor:
    """Rows (l, ...) of stretches of these widths, padded to `shape`, (B, L, ...)."""
    if all(own == shape for own in widths):
        return torch.stack(rows)
    out = rows[0].new_full((len(rows), sum(shape), *rows[0].shape[1:]), fill)
    for padded, row, own in zip(out, rows, widths, strict=True):
        for (place, width), part in zip(_stretches(own, shape), row.split(own), strict=True):
            padded[place : place + width] = part
    return out


def _masks(rows: Sequence[Row], shape: tuple[int, ...], recurrent: bool) -> tuple[Mask, tuple[Mask, Mask] | None]:
    """That of all slots and, where slots with a value and queries are apart, one for each over the former."""
    whole = Mask(causal=True) if recurrent else _mask(rows, [row.slots.mask for row in rows], shape, slice(None))
    pairs = [row.slots.parts for row in rows if row.slots.parts is not None]
    if not pairs:
        return whole, None
    known = whole if recurrent else _mask(rows, [pair[0] for pair in pairs], shape, slice(0, 1))
    return whole, (known, _mask(rows, [pair[1] for pair in pairs], shape, slice(1, 2)))


def _mask(rows: Sequence[Row], masks: Sequence[Mask], shape: tuple[int, ...], stretches: slice) -> Mask:
    """Dense, (B, 1, L, T), of the slots of some stretches; where these are not all, keys are what is kept and the first stretch."""
    keys = stretches if stretches == slice(None) else slice(0, 1)
    ends = [row.seen + sum(row.widths[keys]) for row in rows]
    held = torch.arange(max(ends)) < torch.tensor(ends)[:, None]
    # padding sees what its row holds, so that no softmax is empty
    dense = held[:, None, None].repeat(1, 1, sum(shape[stretches]), 1).to(rows[0].slots.x.device)
    for row, mask, end, out in zip(rows, masks, ends, dense[:, 0], strict=True):
        if mask.dense is None and not mask.causal:
            continue
        seen = torch.ones(end, end, dtype=torch.bool).tril() if mask.dense is None else row.own(mask.dense, 2)
        widths = row.widths[stretches]
        for (place, width), part in zip(_stretches(widths, shape[stretches]), seen.split(widths, dim=-2), strict=True):
            out[place : place + width, :end] = part
    return Mask(dense=dense)


def _source(rows: Sequence[Row]) -> Source | None:
    """What is read beside the sequence, padded to the longest."""
    if rows[0].slots.source is None:
        return None
    found = [row.slots.source for row in rows]
    values = [source.values[row.half] for source, row in zip(found, rows, strict=True) if source]
    longest = max(map(len, values))
    heard = torch.zeros(len(rows), 1, 1, longest, dtype=torch.bool, device=values[0].device)
    for index, (row, source) in enumerate(zip(rows, found, strict=True)):
        assert source is not None
        audible = source.mask.dense
        heard[index, :, :, : len(values[index])] = True if audible is None else audible[row.half]
    return Source(torch.stack([F.pad(v, (0, 0, 0, longest - len(v))) for v in values]), Mask(dense=heard))
