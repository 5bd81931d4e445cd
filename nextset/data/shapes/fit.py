"""Which outline a spot of colour is: analysis by synthesis, over all kinds and angles at the spot's own centre and area.

Legend: n spots, P side of the square patch around each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .outline import AREAS, PERIODS
from .render import coverage
from .scene import KINDS

STEP = 0.21  # radians between the angles tried
BLURS = (0.0, 0.7, 1.0)  # pixels; decoders blur, and a small blurred ring looks like no sharp outline at all
SURE = 0.8  # an overlap this good needs no try with more blur
LEAST = 0.6  # a worse overlap shows no kind


@dataclass(frozen=True)
class Fit:
    """The best outline: its kind ("" where even that overlaps badly), size in pixels, angle, and the overlap in [0, 1]."""

    kind: str
    size: float
    angle: float
    overlap: float


def best_outlines(patches: np.ndarray, centres: np.ndarray, areas: np.ndarray) -> list[Fit]:
    """The best outline of each spot, from its shares (n, P, P), centre (n, 2) as x, y, and area (n,), all in pixels."""
    guesses = [(kind, angle) for kind in KINDS for angle in _angles(kind)]
    best, rows = np.zeros(len(areas), dtype=np.float32), np.zeros(len(areas), dtype=int)
    for blur in BLURS:
        unsure = np.flatnonzero(best < SURE)
        for row, (kind, angle) in enumerate(guesses if len(unsure) else ()):
            found = _overlap(
                patches[unsure], centres[unsure], np.sqrt(areas[unsure] / AREAS[kind]), (kind, angle), blur
            )
            better = found > best[unsure]
            best[unsure[better]], rows[unsure[better]] = found[better], row
    return [
        _fit(guesses[row], float(area), float(fit)) for row, area, fit in zip(rows.tolist(), areas, best, strict=True)
    ]


def _overlap(
    patches: np.ndarray, centres: np.ndarray, sizes: np.ndarray, guess: tuple[str, float], blur: float
) -> np.ndarray:
    """Intersection over union of the shares with those of the guess at these places, (n,)."""
    side = patches.shape[1]
    placed = np.column_stack([centres / side, sizes / side, np.full(len(sizes), guess[1])])
    ideal = _blurred(coverage(guess[0], placed, side), blur)
    return np.minimum(patches, ideal).sum((1, 2)) / np.maximum(patches, ideal).sum((1, 2))


def _blurred(shares: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, (n, P, P)."""
    if sigma == 0:
        return shares
    taps = np.exp(-(np.arange(-2, 3) ** 2) / (2 * sigma**2)).astype(np.float32)
    for axis in (1, 2):
        padded = np.pad(shares, [(0, 0)] + [(2, 2) if axis == a else (0, 0) for a in (1, 2)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, 5, axis)
        shares = windows @ (taps / taps.sum())
    return shares


def _angles(kind: str) -> np.ndarray:
    count = max(round(PERIODS[kind] / STEP), 1)
    turns = np.arange(count) * (PERIODS[kind] / count)
    return np.where(turns > PERIODS[kind] / 2, turns - PERIODS[kind], turns)


def _fit(guess: tuple[str, float], area: float, overlap: float) -> Fit:
    kind, angle = guess
    return Fit(kind if overlap >= LEAST else "", float(np.sqrt(area / AREAS[kind])), float(angle), overlap)
