"""Which of these is which of those: pairs of least cost (the Hungarian method, Kuhn 1955)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..scene import Scene, Shape


class Placed(Protocol):
    """What has a place in a picture: a `Shape` that a camera sees, or a `Found`."""

    @property
    def x(self) -> float:
        """To the right, in [0, 1]."""

    @property
    def y(self) -> float:
        """Down, in [0, 1]."""


def pairs(costs: np.ndarray, most: float) -> list[tuple[int, int]]:
    """As many (row, column) pairs as possible of costs (n, m) not above `most`, and of those the cheapest in all."""
    from scipy.optimize import linear_sum_assignment

    allowed = costs <= most
    dear = (abs(most) + 1) * (sum(costs.shape) + 1)
    rows, columns = linear_sum_assignment(np.where(allowed, costs, dear))
    return [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if allowed[r, c]]


def distances(left: Sequence[Placed], right: Sequence[Placed]) -> np.ndarray:
    """Between all centres, (n, m) in units of the picture's side."""
    a, b = (np.array([(one.x, one.y) for one in side]).reshape(-1, 2) for side in (left, right))
    return np.asarray(np.linalg.norm(a[:, None] - b[None], axis=-1))


def in_picture(scene: Scene) -> list[Shape]:
    """The shapes of a scene in the coordinates of its camera's picture."""
    return [scene.camera.sees(shape) for shape in scene.shapes]
