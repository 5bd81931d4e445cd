"""Shapes that are hidden in part, by others or by the picture's border: the outline that agrees with all that is seen of it.

Where another spot lies, anything may be behind it; everywhere else the outline must be what is seen (`explain.py`). Pieces of one
colour that one outline explains are one shape, and a spot that only two outlines explain is two. Legend: B pictures, S side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..outline import AREAS
from ..sample import RADII
from .explain import Patch
from .fit import LEAST, Fit, boxes_of, outlines

FEWEST = 8  # pixels, of which fewer tell no outline
MOST = 12  # spots; a picture with more is none of the world, and not worth the time
TWO = 1.4 * min(AREAS.values()) * RADII["small"] ** 2  # less, as a share of the picture, is no two shapes
DOUBT = 0.85  # a spot whose outline overlaps worse may be two shapes
GAIN = 0.08  # if two overlap better by this
FULL = 0.8  # share of a colour in the midst of a shape
EXPLAINED = 0.7  # of a piece that belongs to another's outline


@dataclass(frozen=True)
class Spots:
    """The spots of colour of several pictures, n in all.

    `labels` int (B, S, S), 0 or 1 + the spot, with soft edges; `cores`, without; `shown` bool (B, S, S), pixels that any colour
    fills, specks too; `pictures`, `colours` int (n,); `boxes` int (n, 4) of the cores: left, top, right, bottom.
    """

    labels: np.ndarray
    cores: np.ndarray
    shown: np.ndarray
    pictures: np.ndarray
    colours: np.ndarray
    boxes: np.ndarray

    def touching(self) -> set[int]:
        """The spots that touch another one or the border of their picture."""
        side = self.cores.shape[1]
        edge = np.flatnonzero((self.boxes[:, :2] == 0).any(1) | (self.boxes[:, 2:] == side).any(1))
        found = set(edge.tolist())
        for axis in (1, 2):
            here, there = np.moveaxis(self.cores, axis, 0)[:-1], np.moveaxis(self.cores, axis, 0)[1:]
            meet = (here != there) & (here > 0) & (there > 0)
            found |= set((np.unique(np.concatenate([here[meet], there[meet]])) - 1).tolist())
        return found

    def large(self) -> set[int]:
        """The spots in which two small shapes find room, one half over the other."""
        areas = np.bincount(self.cores.ravel(), minlength=len(self.pictures) + 1)[1:]
        return set(np.flatnonzero(areas > TWO * self.cores[0].size).tolist()) if len(areas) else set()


def completed(spots: Spots, shares: np.ndarray, whole: list[Fit]) -> Iterator[tuple[int, tuple[int, ...], Fit]]:
    """(picture, spots, outline) of every shape, from back to front in each picture; one shape may be seen as several spots.

    `shares` (B, S, S, colours) are those of the pixels, `whole` the outlines of the spots as if nothing was hidden.
    """
    touching, double = spots.touching(), spots.large() & {spot for spot, fit in enumerate(whole) if fit.overlap < DOUBT}
    members: dict[int, list[int]] = {}
    for spot, picture in enumerate(spots.pictures.tolist()):
        members.setdefault(picture, []).append(spot)
    for picture, own in members.items():
        if (touching | double).isdisjoint(own) or len(own) > MOST:
            yield from ((picture, (spot,), whole[spot]) for spot in own)
        else:
            view = _View(spots, shares[picture], picture)
            shapes = view.outlines({spot: whole[spot] for spot in own}, touching, double)
            yield from ((picture, pieces, fit) for pieces, fit in view.ordered(shapes))


_Shape = tuple[tuple[int, ...], Fit]  # what is seen as these spots


class _View:
    """One picture in which something may be hidden."""

    def __init__(self, spots: Spots, shares: np.ndarray, picture: int) -> None:
        self.labels, self.cores, self.shown = spots.labels[picture], spots.cores[picture], spots.shown[picture]
        self.colours, self.shares, self.side = spots.colours, shares, shares.shape[0]

    def outlines(self, whole: dict[int, Fit], touching: set[int], double: set[int]) -> list[_Shape]:
        """What is seen as outlines: several spots that are `touching` may be one, and one that is `double` two."""
        areas = {spot: int((self.cores == spot + 1).sum()) for spot in whole}
        left = sorted((s for s in whole if s not in touching or not self._faint(s)), key=lambda spot: -areas[spot])
        found: list[_Shape] = []
        while left:
            spot = left.pop(0)
            pieces: tuple[int, ...] = (spot,)
            fits = [whole[spot]]
            if spot in touching:
                fits = self._fitted(pieces, whole[spot])
                more = [other for other in left if other in touching and self._explains(fits[0], spot, other)]
                joint = self._fitted((spot, *more), fits[0]) if more else fits
                if more and joint[0].overlap > fits[0].overlap - 0.1:
                    pieces, fits = (spot, *more), joint
                    left = [other for other in left if other not in more]
            if spot in double and fits[0].overlap < DOUBT:
                two = self._fitted(pieces, fits[0], two=True)
                fits = two if two[0].overlap > max(DOUBT, fits[0].overlap + GAIN) else fits
            found += [(pieces, fit) for fit in fits]
        return found

    def _faint(self, spot: int) -> bool:
        """Whether no pixel is full of the colour: at the edge of two colours their mixture may look like a third."""
        return float(np.quantile(self.shares[..., self.colours[spot]][self.cores == spot + 1], 0.95)) < FULL

    def _explains(self, fit: Fit, spot: int, other: int) -> bool:
        if not fit.kind or self.colours[spot] != self.colours[other]:
            return False
        placed = np.array([[fit.x, fit.y, fit.size, fit.angle]])
        return float(outlines(fit.kind, placed, self.side)[0][self.cores == other + 1].mean()) > EXPLAINED

    def _fitted(self, pieces: tuple[int, ...], start: Fit, two: bool = False) -> list[Fit]:
        """The outline of pieces of one colour, or the two outlines."""
        from scipy.ndimage import binary_dilation

        names = [piece + 1 for piece in pieces]
        own, cores = np.isin(self.labels, names), np.isin(self.cores, names)
        # pixels at the edge to another colour are mixtures of three colours, of which no share is known
        foreign = binary_dilation(self.shown & ~cores, np.ones((3, 3)))
        target = np.where(own & ~foreign, self.shares[..., self.colours[pieces[0]]], 0)
        y, x = np.nonzero(cores)
        corner, side = _window(x, y)
        patch = Patch(*(_cut(plane, corner, side) for plane in (target, ~foreign)))
        if (patch.target > 0.1).sum() < FEWEST:
            return [start]
        moved = np.array([start.x - corner[0], start.y - corner[1], start.size, start.angle])
        kinds, placed, overlap = patch.two() if two else patch.one(start.kind, moved)
        placed[:, :2] += corner
        return [
            Fit(kind if overlap >= LEAST else "", x, y, size, angle, overlap)
            for kind, (x, y, size, angle) in zip(kinds, placed.tolist(), strict=True)
        ]

    def ordered(self, shapes: list[_Shape]) -> Iterator[_Shape]:
        """The shapes from back to front, with the boxes of what is seen of them.

        Where two outlines overlap, the one that is seen there is nearer.
        """
        masks = [self._mask(fit) for _, fit in shapes]
        behind: list[set[int]] = [set() for _ in shapes]
        for a, b in itertools.permutations(range(len(shapes)), 2):
            seen = self.cores[masks[a] & masks[b]] - 1
            if np.isin(seen, shapes[a][0]).sum() > np.isin(seen, shapes[b][0]).sum():
                behind[a].add(b)
        drawn: list[int] = []
        while len(drawn) < len(shapes):
            rest = [i for i in range(len(shapes)) if i not in drawn]
            drawn.append(min(rest, key=lambda i: len(behind[i] - set(drawn))))
        nearer = np.zeros_like(self.shown)
        shown: list[_Shape] = []
        for pieces, fit, mask in ((*shapes[i], masks[i]) for i in reversed(drawn)):
            left, top, right, bottom = boxes_of((mask & ~nearer)[None])[0].tolist()
            shown.append((pieces, replace(fit, box=(left, top, right, bottom))))
            nearer |= mask
        return reversed(shown)

    def _mask(self, fit: Fit) -> np.ndarray:
        if not fit.kind:
            return np.zeros_like(self.shown)
        return outlines(fit.kind, np.array([[fit.x, fit.y, fit.size, fit.angle]]), self.side)[0] >= 0.5


def _window(x: np.ndarray, y: np.ndarray) -> tuple[tuple[int, int], int]:
    """Corner (x, y) and side of the square around these pixels in which their whole shape may lie."""
    width = int(max(np.ptp(x), np.ptp(y))) + 1
    side = 2 * width + 4
    return (int(x.min() + x.max() + 1 - side) // 2, int(y.min() + y.max() + 1 - side) // 2), side


def _cut(plane: np.ndarray, corner: tuple[int, int], side: int) -> np.ndarray:
    """A square of a picture; 0 (False) where it is outside."""
    left, top = corner
    cut = np.zeros((side, side), dtype=plane.dtype)
    x, y = slice(max(left, 0), left + side), slice(max(top, 0), top + side)
    part = plane[y, x]
    cut[y.start - top : y.start - top + part.shape[0], x.start - left : x.start - left + part.shape[1]] = part
    return cut
