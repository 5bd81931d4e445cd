"""The outlines that explain what is seen: one, of any kind, or two of one colour that have run together.

Guesses are improved by Gauss-Newton steps (with Levenberg's damping) on centres, sizes and angles, and the best is kept.
Legend: P side of a patch, n guesses, s outlines a guess (1 or 2).
"""

from __future__ import annotations

import itertools

import numpy as np

from ..outline import AREAS, PERIODS
from ..scene import KINDS, REACH
from .fit import outlines

GROWN = ((1.0, 0.0), (1.2, 0.3), (1.2, 0.6), (1.5, 0.5), (1.5, 0.9))  # guesses: (size, shift) in sizes of what is seen
TURNS = 3  # angles tried of each kind that has angles
ROUGH, ROUGH_STEPS = 2, 2  # the best guesses of each kind, and how often they are improved
FINAL, STEPS = 4, 6  # the best of all then
CLEAR = 0.96  # an overlap this good needs no other guesses
NUDGES = np.array([0.25, 0.25, 0.25, 0.05])  # of x, y, size in pixels and angle, for derivatives
HIDING = 0.02  # what it costs to suppose that a shape is all hidden
SHARED = 1.15  # two shapes that overlap have this many times the area that is seen
PAIRS, PAIR_STEPS = 6, 10  # guesses of two outlines that are improved

Kinds = tuple[str, ...]
Explained = tuple[Kinds, np.ndarray, float]  # kinds (s), places (s, 4): x, y, size, angle; the overlap


class Patch:
    """What is seen: `target`, shares (P, P), and where anything would be `seen`, bool (P, P)."""

    def __init__(self, target: np.ndarray, seen: np.ndarray) -> None:
        self.target, self.seen, self.side = target.astype(np.float32), seen.astype(np.float32), len(target)

    def one(self, kind: str, start: np.ndarray) -> Explained:
        """The best outline; `kind` ("": none) at `start` (4,) is a guess that may do without others."""
        if kind:
            quick = self._best([((kind,), start[None, None])], STEPS)
            if quick[2] >= CLEAR:
                return quick
        rough = [one for name in KINDS for one in self._rough(name, start)]
        return self._best([one[1:] for one in sorted(rough, key=lambda one: -one[0])[:FINAL]], STEPS)

    def two(self) -> Explained:
        """The best two outlines, of which one may hide a part of the other."""
        singles = [
            (kind, half, np.array([*centre, np.sqrt(SHARED * area / AREAS[kind]), turn]))
            for half, (centre, area) in enumerate(self._halves())
            for kind in KINDS
            for turn in self._turns(kind)
        ]
        drawn = {i: outlines(kind, placed[None], self.side)[0] for i, (kind, _, placed) in enumerate(singles)}
        guesses = []
        for a, b in itertools.combinations(range(len(singles)), 2):
            if singles[a][1] != singles[b][1]:
                error = float(self._errors(np.maximum(drawn[a], drawn[b])[None])[0])
                guesses.append((error, a, b))
        chosen = [(singles[a], singles[b]) for _, a, b in sorted(guesses)[:PAIRS]]
        return self._best([((a[0], b[0]), np.stack([a[2], b[2]])[None]) for a, b in chosen], PAIR_STEPS)

    def _best(self, guesses: list[tuple[Kinds, np.ndarray]], steps: int) -> Explained:
        """The best of guesses (kinds, (1, s, 4)) once improved."""
        fine = [(kinds, self._improved(kinds, placed, steps)) for kinds, placed in guesses]
        scored = [(kinds, placed[0], *self._scored(kinds, placed)) for kinds, placed in fine]
        kinds, placed, overlap, _ = max(scored, key=lambda one: float(one[3][0]))
        return kinds, placed, float(overlap[0])

    # guesses

    def _rough(self, kind: str, start: np.ndarray) -> list[tuple[float, Kinds, np.ndarray]]:
        """(score, kinds, place) of the best guesses of a kind, a little improved."""
        guesses = self._guesses(kind, start)[:, None]
        _, scores = self._scored((kind,), guesses)
        placed = self._improved((kind,), guesses[np.argsort(-scores)[:ROUGH]], ROUGH_STEPS)
        scores = self._scored((kind,), placed)[1]
        return [(float(score), (kind,), one[None]) for score, one in zip(scores, placed, strict=True)]

    def _guesses(self, kind: str, start: np.ndarray) -> np.ndarray:
        """Outlines of the area that is seen and larger ones, shifted towards what is hidden; (n, 4)."""
        y, x = np.indices(self.target.shape) + 0.5
        area = float(self.target.sum())
        centre = np.array([(x * self.target).sum(), (y * self.target).sum()]) / area
        size = np.sqrt(area / AREAS[kind])
        near = (1 - self.seen) * (np.hypot(x - centre[0], y - centre[1]) < 2 * size * REACH[kind])
        away = np.array([(x * near).sum(), (y * near).sum()]) / max(float(near.sum()), 1e-6) - centre
        away = away / max(float(np.hypot(*away)), 1e-6) if near.any() else np.zeros(2)
        guesses = [
            [*(centre + away * shift * size), grown * size, turn]
            for grown, shift in GROWN
            for turn in self._turns(kind)
        ]
        return np.array([start, [*start[:2], size, start[3]], *guesses])

    @staticmethod
    def _turns(kind: str) -> list[float]:
        return [i * PERIODS[kind] / TURNS for i in range(TURNS if PERIODS[kind] else 1)]

    def _halves(self) -> list[tuple[np.ndarray, float]]:
        """Centres (2,) as x, y and areas of two parts of what is seen: two means, begun along the longest axis."""
        y, x = np.nonzero(self.target > 0.1)
        weights, points = self.target[y, x], np.stack([x, y], axis=1) + 0.5
        middle = np.average(points, axis=0, weights=weights)
        axis = np.linalg.eigh(np.cov(points.T, aweights=weights))[1][:, -1]
        begun = second = (points - middle) @ axis > 0
        for _ in range(10):
            means = [np.average(points[part], axis=0, weights=weights[part]) for part in (~second, second)]
            second = np.linalg.norm(points - means[1], axis=1) < np.linalg.norm(points - means[0], axis=1)
            if second.all() or not second.any():
                second = begun
        return [(mean, float(weights[part].sum())) for mean, part in zip(means, (~second, second), strict=True)]

    # improving

    def _drawn(self, kinds: Kinds, placed: np.ndarray) -> np.ndarray:
        """Outlines (n, s, P, P) at (n, s, 4)."""
        return np.stack([outlines(kind, placed[:, i], self.side) for i, kind in enumerate(kinds)], axis=1)

    def _improved(self, kinds: Kinds, placed: np.ndarray, steps: int) -> np.ndarray:
        """The guesses (n, s, 4) after some steps, none of which is taken that makes them worse."""
        damping = np.full(len(placed), 1e-2)
        drawn = self._drawn(kinds, placed)
        for _ in range(steps):
            tried = placed + self._steps(kinds, placed, drawn, damping)
            tried[..., 2] = tried[..., 2].clip(1.0, self.side)
            again = self._drawn(kinds, tried)
            better = self._errors(again.max(1)) < self._errors(drawn.max(1))
            placed = np.where(better[:, None, None], tried, placed)
            drawn = np.where(better[:, None, None, None], again, drawn)
            damping = np.where(better, damping / 4, damping * 8)
        return placed

    def _steps(self, kinds: Kinds, placed: np.ndarray, drawn: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Levenberg's steps (n, s, 4) on the squared difference of what is seen."""
        count, union = len(placed), drawn.max(1)
        slopes = []
        for i, kind in enumerate(kinds):
            moved = outlines(kind, (placed[:, i, None] + np.diag(NUDGES)).reshape(-1, 4), self.side)
            others = np.delete(drawn, i, axis=1).max(1, initial=0)
            slopes.append(np.maximum(moved.reshape(count, 4, *union.shape[1:]), others[:, None]) - union[:, None])
        slope = (np.concatenate(slopes, axis=1) * self.seen).reshape(count, 4 * len(kinds), -1)
        errors = ((union - self.target) * self.seen).reshape(count, -1, 1)
        square = slope @ slope.transpose(0, 2, 1)
        diagonal = np.einsum("nii->ni", square)
        square = square + (damping[:, None] * diagonal + 1e-3)[..., None] * np.eye(slope.shape[1])
        return np.asarray(-np.linalg.solve(square, slope @ errors).reshape(placed.shape) * NUDGES)

    def _errors(self, union: np.ndarray) -> np.ndarray:
        return np.asarray((((union - self.target) * self.seen) ** 2).sum((1, 2)))

    def _scored(self, kinds: Kinds, placed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Overlaps (intersection over union) of what is seen, and those less the cost of what is hidden; (n,) each."""
        drawn = self._drawn(kinds, placed).max(1)
        ideal, target = drawn * self.seen, self.target * self.seen
        overlap = np.minimum(ideal, target).sum((1, 2)) / np.maximum(np.maximum(ideal, target).sum((1, 2)), 1e-6)
        return overlap, overlap - HIDING * (1 - ideal.sum((1, 2)) / np.maximum(drawn.sum((1, 2)), 1e-6))
