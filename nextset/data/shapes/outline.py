"""Signed distances to the outlines of the shapes (negative inside), the field form of which is exact at and near the edge."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

HALF_SQUARE, INRADIUS, RING, ARM = 0.85, 0.66, (0.5, 1.0), 0.35
STAR = (1.25, 0.55)  # radii of the star's points and notches

# Areas of the shapes of size 1, from the same numbers.
AREAS = {
    "circle": math.pi,
    "square": 4 * HALF_SQUARE**2,
    "triangle": 3 * math.sqrt(3) * INRADIUS**2,
    "star": 5 * STAR[0] * STAR[1] * math.sin(math.pi / 5),
    "ring": math.pi * (RING[1] ** 2 - RING[0] ** 2),
    "cross": 8 * ARM - 4 * ARM**2,
}
# Turns after which a shape looks the same, 0: any.
PERIODS = {
    "circle": 0.0,
    "square": math.pi / 2,
    "triangle": 2 * math.pi / 3,
    "star": 2 * math.pi / 5,
    "ring": 0.0,
    "cross": math.pi / 2,
}
# How far an upright shape of size 1 reaches down.
FEET = {
    "circle": 1.0,
    "square": HALF_SQUARE,
    "triangle": INRADIUS,
    "star": STAR[0] * math.cos(math.pi / 5),
    "ring": RING[1],
    "cross": 1.0,
}


def distance(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance of points (x, y), any equal shapes, to the outline of an upright shape of size 1 at the origin; y points down."""
    return _FIELDS[kind](x, y)


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y) - 1


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    inner, outer = RING
    return np.abs(np.sqrt(x * x + y * y) - (inner + outer) / 2) - (outer - inner) / 2


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - HALF_SQUARE


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    sides = np.abs(x) * (math.sqrt(3) / 2) - y * 0.5  # the two slanting sides, by symmetry
    return np.maximum(sides, y) - INRADIUS


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - 1, y - ARM), np.maximum(x - ARM, y - 1))


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # folded into the wedge between a point (straight up) and the notch beside it, where the outline is one line
    wedge = 2 * math.pi / 5
    angle = np.abs((np.arctan2(x, -y) + wedge / 2) % wedge - wedge / 2)
    radius = np.sqrt(x * x + y * y)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    tip, notch = STAR[0], (STAR[1] * math.cos(wedge / 2), STAR[1] * math.sin(wedge / 2))
    side = math.hypot(tip - notch[0], notch[1])
    return ((along - tip) * notch[1] + across * (tip - notch[0])) / side


_FIELDS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}
