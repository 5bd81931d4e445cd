"""Patterns on shapes: which share of a place is dark, antialiased from distances like outlines are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .scene import TEXTURES

PERIOD = 0.8  # of stripes and of the lattices of dots and checks, in sizes of the shape
DOT = 0.27
DARK = 0.4  # what is left of the colour where the pattern is


def tones(textures: np.ndarray, x: np.ndarray, y: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """What is left of the colour at points (n,) of shapes, in [DARK, 1].

    `textures` are places in TEXTURES; x and y are as for `outline.distance`, and `pixel` is a pixel's side in the same unit.
    """
    found = np.ones(x.shape, dtype=np.float32)
    for number, name in enumerate(TEXTURES):
        here = np.flatnonzero(textures == number) if name in _PATTERNS else ()
        if len(here):
            found[here] -= (1 - DARK) * _PATTERNS[name](x[here], y[here], pixel[here])
    return found


def _stripe(along: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Bands of half a period across one axis; one that is not dark is at 0."""
    phase = np.abs((along / PERIOD + 0.5) % 1 - 0.5)  # periods from the middle of the nearest light band
    return ((phase - 0.25) * (PERIOD / pixel) + 0.5).clip(0, 1)


def _striped(x: np.ndarray, y: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    return _stripe(x, pixel)


def _checked(x: np.ndarray, y: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    a, b = _stripe(x - PERIOD / 4, pixel), _stripe(y - PERIOD / 4, pixel)  # four squares meet at the centre
    return a + b - 2 * a * b


def _dotted(x: np.ndarray, y: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    across, down = ((v / PERIOD + 0.5) % 1 - 0.5 for v in (x, y))
    return (0.5 - (np.hypot(across, down) * PERIOD - DOT) / pixel).clip(0, 1)


_PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "striped": _striped,
    "dotted": _dotted,
    "checked": _checked,
}
