"""Which outline a spot of colour is: analysis by synthesis of all kinds at the spot's own centre, area and angle.

A shape with an m-fold symmetry has its angle in the phase of the moment sum(share r^2 e^(i m theta)), so each kind needs one try.
Legend: n spots, P side of the square patch around each.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..outline import AREAS, PERIODS
from ..render import coverage
from ..scene import KINDS

BLURS = (0.0, 0.7, 1.0)  # pixels; decoders blur, and a small blurred ring looks like no sharp outline at all
SURE = 0.85  # an overlap this good needs no try with more blur
LEAST = 0.6  # a worse overlap shows no kind
FOLDS = {kind: round(2 * np.pi / period) if period else 0 for kind, period in PERIODS.items()}


@dataclass(frozen=True)
class Fit:
    """The best outline: its kind ("" where even that overlaps badly), centre, size in pixels, angle, the overlap in [0, 1], and the
    box of the pixels of which it fills at least half (left, top, right, bottom; the last two exclusive), all 0 where there are none."""

    kind: str
    x: float
    y: float
    size: float
    angle: float
    overlap: float
    box: tuple[int, int, int, int] = (0, 0, 0, 0)


def best_outlines(patches: np.ndarray, centres: np.ndarray, corners: np.ndarray) -> list[Fit]:
    """The best outline of each spot that is whole, from its shares (n, P, P), centre and the patch's corner (n, 2) as x, y."""
    areas, angles = patches.sum((1, 2)), _angles(patches, centres)
    best, kinds = np.zeros(len(areas), dtype=np.float32), np.zeros(len(areas), dtype=int)
    placed = np.zeros((len(areas), 4))
    for blur in BLURS:
        unsure = np.flatnonzero(best < SURE)
        for place, kind in enumerate(KINDS if len(unsure) else ()):
            sizes = np.sqrt(areas[unsure] / AREAS[kind])
            tried = np.column_stack([centres[unsure], sizes, angles[kind][unsure]])
            found = overlaps(patches[unsure], kind, tried, blur)
            better = found > best[unsure]
            chosen = unsure[better]
            best[chosen], kinds[chosen], placed[chosen] = found[better], place, tried[better]
    boxes = np.zeros((len(areas), 4), dtype=int)
    for place, kind in enumerate(KINDS):
        alike = np.flatnonzero(kinds == place)
        boxes[alike] = boxes_of(outlines(kind, placed[alike], patches.shape[1]) >= 0.5)
    placed[:, :2] += corners
    boxes += np.tile(corners, 2) * boxes.any(1, keepdims=True)
    names = [KINDS[k] if overlap >= LEAST else "" for k, overlap in zip(kinds, best, strict=True)]
    return [
        Fit(name, x, y, size, angle, overlap, (left, top, right, bottom))
        for name, (x, y, size, angle), overlap, (left, top, right, bottom) in zip(
            names, placed.tolist(), best.tolist(), boxes.tolist(), strict=True
        )
    ]


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """Boxes (n, 4), left, top, right, bottom, of masks (n, H, W); all 0 of empty ones."""
    found = []
    for axis in (1, 2):
        along = np.asarray(masks.any(axis))
        found.append((along.argmax(1), (along.shape[1] - along[:, ::-1].argmax(1)) * along.any(1)))
    (left, right), (top, bottom) = found
    return np.column_stack([left, top, right, bottom])


def overlaps(patches: np.ndarray, kind: str, placed: np.ndarray, blur: float = 0.0) -> np.ndarray:
    """Intersection over union of shares (n, P, P) with those of outlines at `placed` (n, 4): x, y, size in pixels, angle."""
    ideal = _blurred(outlines(kind, placed, patches.shape[1]), blur)
    return np.minimum(patches, ideal).sum((1, 2)) / np.maximum(patches, ideal).sum((1, 2))


def outlines(kind: str, placed: np.ndarray, side: int) -> np.ndarray:
    """`coverage` of patches, float32 (n, side, side), `placed` (n, 4) being x, y, size in pixels and angle."""
    return coverage(kind, placed / np.array([side, side, side, 1.0]), side)


def _angles(patches: np.ndarray, centres: np.ndarray) -> dict[str, np.ndarray]:
    """By kind the angle of each spot, were it of that kind, (n,) within half a period of 0."""
    moments = _moments(patches, centres)
    turned = {
        k: np.angle(moments[f] * np.conj(_upright(k))) / f if f else np.zeros(len(patches)) for k, f in FOLDS.items()
    }
    return turned


def _moments(patches: np.ndarray, centres: np.ndarray) -> dict[int, np.ndarray]:
    """The moments by m, (n,) complex."""
    places = np.arange(patches.shape[1], dtype=np.float32) + 0.5
    right, down = places - centres[:, :1].astype(np.float32), places - centres[:, 1:].astype(np.float32)
    around = right[:, None, :] + 1j * down[:, :, None]
    radius = np.maximum(np.abs(around), 1e-6)
    unit = around / radius
    turning, moments = patches * radius**2 * unit, {}
    for fold in range(2, max(FOLDS.values()) + 1):
        turning = turning * unit
        if fold in FOLDS.values():
            moments[fold] = turning.sum((1, 2))
    return moments


@functools.cache
def _upright(kind: str) -> complex:
    """The moment of the kind at angle 0."""
    centre = np.array([[64.5, 64.5]])
    drawn = outlines(kind, np.array([[64.5, 64.5, 45.0, 0.0]]), 129)
    return complex(_moments(drawn, centre)[FOLDS[kind]][0])


def _blurred(shares: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, (n, P, P)."""
    if sigma == 0:
        return shares
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(shares, (0, sigma, sigma), mode="constant", radius=(0, 2, 2)))
