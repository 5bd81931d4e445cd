"""Shapes that are hidden in part, by others or by the picture's border: the outline that agrees with all that is seen of it.

Where another spot lies, anything may be behind it; everywhere else the outline must be what is seen. Several guesses for each kind
are improved by Gauss-Newton steps (Levenberg's damping) on centre, size and angle; pieces of one colour that one outline explains
are one shape. Legend: B pictures, S side, P side of a patch, n guesses.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..outline import AREAS, PERIODS
from ..scene import KINDS, REACH
from .fit import LEAST, Fit, boxes_of, outlines

GROWN = ((1.0, 0.0), (1.2, 0.3), (1.2, 0.6), (1.5, 0.5), (1.5, 0.9))  # guesses: (size, shift) in sizes of what is seen
TURNS = 3  # angles tried of each kind that has angles
ROUGH, ROUGH_STEPS = 2, 2  # the best guesses of each kind, and how often they are improved
FINAL, STEPS = 4, 6  # the best of all then
CLEAR = 0.96  # an overlap this good needs no other guesses
MOST = 12  # spots; a picture with more is none of the world, and not worth the time
NUDGES = np.array([0.25, 0.25, 0.25, 0.05])  # of x, y, size in pixels and angle, for derivatives
HIDING = 0.02  # what it costs to suppose that a shape is all hidden
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


def completed(spots: Spots, shares: np.ndarray, whole: list[Fit]) -> Iterator[tuple[int, tuple[int, ...], Fit]]:
    """(picture, spots, outline) of every shape, from back to front in each picture; one shape may be seen as several spots.

    `shares` (B, S, S, colours) are those of the pixels, `whole` the outlines of the spots as if nothing was hidden.
    """
    touching = spots.touching()
    members: dict[int, list[int]] = {}
    for spot, picture in enumerate(spots.pictures.tolist()):
        members.setdefault(picture, []).append(spot)
    for picture, own in members.items():
        if touching.isdisjoint(own) or len(own) > MOST:
            yield from ((picture, (spot,), whole[spot]) for spot in own)
        else:
            view = _View(spots, shares[picture], picture)
            fits = view.outlines({spot: whole[spot] for spot in own}, touching)
            yield from ((picture, pieces, fit) for pieces, fit in view.ordered(fits))


class _View:
    """One picture in which something may be hidden."""

    def __init__(self, spots: Spots, shares: np.ndarray, picture: int) -> None:
        self.labels, self.cores, self.shown = spots.labels[picture], spots.cores[picture], spots.shown[picture]
        self.colours, self.shares, self.side = spots.colours, shares, shares.shape[0]

    def outlines(self, whole: dict[int, Fit], touching: set[int]) -> dict[tuple[int, ...], Fit]:
        """The outlines of what is seen, by its spots."""
        areas = {spot: int((self.cores == spot + 1).sum()) for spot in whole}
        left = sorted((s for s in whole if s not in touching or not self._faint(s)), key=lambda spot: -areas[spot])
        fits: dict[tuple[int, ...], Fit] = {}
        while left:
            spot = left.pop(0)
            pieces: tuple[int, ...] = (spot,)
            fit = whole[spot]
            if spot in touching:
                fit = self._fitted(pieces, fit)
                more = [other for other in left if other in touching and self._explains(fit, spot, other)]
                joint = self._fitted((spot, *more), fit) if more else fit
                if more and joint.overlap > fit.overlap - 0.1:
                    pieces, fit = (spot, *more), joint
                    left = [other for other in left if other not in more]
            fits[pieces] = fit
        return fits

    def _faint(self, spot: int) -> bool:
        """Whether no pixel is full of the colour: at the edge of two colours their mixture may look like a third."""
        return float(np.quantile(self.shares[..., self.colours[spot]][self.cores == spot + 1], 0.95)) < FULL

    def _explains(self, fit: Fit, spot: int, other: int) -> bool:
        if not fit.kind or self.colours[spot] != self.colours[other]:
            return False
        placed = np.array([[fit.x, fit.y, fit.size, fit.angle]])
        return float(outlines(fit.kind, placed, self.side)[0][self.cores == other + 1].mean()) > EXPLAINED

    def _fitted(self, pieces: tuple[int, ...], start: Fit) -> Fit:
        """The outline of pieces of one colour."""
        from scipy.ndimage import binary_dilation

        names = [piece + 1 for piece in pieces]
        own = np.isin(self.labels, names)
        # pixels at the edge to another colour are mixtures of three colours, of which no share is known
        foreign = binary_dilation(self.shown & ~np.isin(self.cores, names), np.ones((3, 3)))
        target = np.where(own & ~foreign, self.shares[..., self.colours[pieces[0]]], 0)
        y, x = np.nonzero(np.isin(self.cores, names))
        corner, side = _window(x, y)
        patch = _Patch(*(_cut(plane, corner, side) for plane in (target, ~foreign)))
        if not patch.target.any():
            return start
        kind, placed, overlap = patch.best(start.kind, _placed(start, corner))
        x0, y0, size, angle = placed.tolist()
        return Fit(kind if overlap >= LEAST else "", x0 + corner[0], y0 + corner[1], size, angle, overlap)

    def ordered(self, fits: dict[tuple[int, ...], Fit]) -> Iterator[tuple[tuple[int, ...], Fit]]:
        """The shapes from back to front, with the boxes of what is seen of them.

        Where two outlines overlap, the one that is seen there is nearer.
        """
        masks = {pieces: self._mask(fit) for pieces, fit in fits.items() if fit.kind}
        behind: dict[tuple[int, ...], set[tuple[int, ...]]] = {pieces: set() for pieces in fits}
        for a, b in itertools.permutations(masks, 2):
            seen = self.cores[masks[a] & masks[b]] - 1
            if np.isin(seen, a).sum() > np.isin(seen, b).sum():
                behind[a].add(b)
        drawn: list[tuple[int, ...]] = []
        while len(drawn) < len(fits):
            rest = [pieces for pieces in fits if pieces not in drawn]
            drawn.append(min(rest, key=lambda pieces: len(behind[pieces] - set(drawn))))
        for place, pieces in enumerate(drawn):
            nearer = [masks[other] for other in drawn[place + 1 :] if other in masks]
            seen = masks.get(pieces, np.zeros_like(self.shown)) & ~np.logical_or.reduce(
                [np.zeros_like(self.shown), *nearer]
            )
            left, top, right, bottom = boxes_of(seen[None])[0].tolist()
            yield pieces, replace(fits[pieces], box=(left, top, right, bottom))

    def _mask(self, fit: Fit) -> np.ndarray:
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


def _placed(fit: Fit, corner: tuple[int, int]) -> np.ndarray:
    return np.array([fit.x - corner[0], fit.y - corner[1], fit.size, fit.angle])


class _Patch:
    """What is seen of one shape: `target`, its shares (P, P), and where anything would be `seen`, bool (P, P)."""

    def __init__(self, target: np.ndarray, seen: np.ndarray) -> None:
        self.target, self.seen = target.astype(np.float32), seen.astype(np.float32)

    def best(self, kind: str, start: np.ndarray) -> tuple[str, np.ndarray, float]:
        """Kind, (x, y, size, angle) and overlap of the best outline, if need be from guesses other than this one."""
        if kind:
            placed = self._improved(kind, start[None], STEPS)
            overlap, _ = self._scored(kind, placed)
            if overlap[0] >= CLEAR:
                return kind, placed[0], float(overlap[0])
        rough = [one for kind in KINDS for one in self._rough(kind, start)]
        rough = sorted(rough, key=lambda one: -one[0])[:FINAL]
        fine = [(kind, self._improved(kind, placed[None], STEPS)) for _, kind, placed in rough]
        scored = [(kind, placed[0], *self._scored(kind, placed)) for kind, placed in fine]
        kind, placed, overlap, _ = max(scored, key=lambda one: float(one[3][0]))
        return kind, placed, float(overlap[0])

    def _rough(self, kind: str, start: np.ndarray) -> list[tuple[float, str, np.ndarray]]:
        """(score, kind, place) of the best guesses of a kind, a little improved."""
        guesses = self._guesses(kind, start)
        _, scores = self._scored(kind, guesses)
        placed = self._improved(kind, guesses[np.argsort(-scores)[:ROUGH]], ROUGH_STEPS)
        return [(float(score), kind, one) for score, one in zip(self._scored(kind, placed)[1], placed, strict=True)]

    def _guesses(self, kind: str, start: np.ndarray) -> np.ndarray:
        """Outlines of the area that is seen and larger ones, shifted towards what is hidden; (n, 4)."""
        y, x = np.indices(self.target.shape) + 0.5
        area = float(self.target.sum())
        centre = np.array([(x * self.target).sum(), (y * self.target).sum()]) / area
        seen_size = np.sqrt(area / AREAS[kind])
        near = (1 - self.seen) * (np.hypot(x - centre[0], y - centre[1]) < 2 * seen_size * REACH[kind])
        away = np.array([(x * near).sum(), (y * near).sum()]) / max(float(near.sum()), 1e-6) - centre
        away = away / max(float(np.hypot(*away)), 1e-6) if near.any() else np.zeros(2)
        turns = np.arange(TURNS if PERIODS[kind] else 1) * PERIODS[kind] / TURNS
        guesses = [
            [*(centre + away * shift * seen_size), size * seen_size, turn] for size, shift in GROWN for turn in turns
        ]
        first = [*start[:2], start[2], start[3]]
        return np.array([first, [*start[:2], seen_size, start[3]], *guesses])

    def _improved(self, kind: str, placed: np.ndarray, steps: int) -> np.ndarray:
        """The outlines after Levenberg's steps, none of which is taken that makes them worse."""
        damping = np.full(len(placed), 1e-2)
        ideal = outlines(kind, placed, len(self.target))
        for _ in range(steps):
            tried = placed + self._steps(kind, placed, ideal, damping)
            tried[:, 2] = tried[:, 2].clip(1.0, len(self.target))
            drawn = outlines(kind, tried, len(self.target))
            better = self._errors(drawn) < self._errors(ideal)
            placed, ideal = np.where(better[:, None], tried, placed), np.where(better[:, None, None], drawn, ideal)
            damping = np.where(better, damping / 4, damping * 8)
        return placed

    def _steps(self, kind: str, placed: np.ndarray, ideal: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Levenberg's steps on the squared difference of what is seen."""
        moved = (placed[:, None] + np.diag(NUDGES)).reshape(-1, 4)
        slopes = outlines(kind, moved, len(self.target)).reshape(len(placed), 4, -1) - ideal.reshape(len(placed), 1, -1)
        slopes = slopes * self.seen.ravel()
        errors = ((ideal - self.target) * self.seen).reshape(len(placed), -1, 1)
        square = slopes @ slopes.transpose(0, 2, 1)
        diagonal = np.einsum("nii->ni", square)
        square = square + (damping[:, None] * diagonal + 1e-3)[..., None] * np.eye(4)
        return np.asarray(-np.linalg.solve(square, slopes @ errors)[..., 0] * NUDGES)

    def _errors(self, ideal: np.ndarray) -> np.ndarray:
        return np.asarray((((ideal - self.target) * self.seen) ** 2).sum((1, 2)))

    def _scored(self, kind: str, placed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Overlaps (intersection over union) of what is seen, and those less the cost of what is hidden; (n,) each."""
        drawn = outlines(kind, placed, len(self.target))
        ideal = drawn * self.seen
        target = self.target * self.seen
        overlap = np.minimum(ideal, target).sum((1, 2)) / np.maximum(np.maximum(ideal, target).sum((1, 2)), 1e-6)
        return overlap, overlap - HIDING * (1 - ideal.sum((1, 2)) / np.maximum(drawn.sum((1, 2)), 1e-6))
