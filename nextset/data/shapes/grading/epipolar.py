"""Do views of one scene agree with their cameras? TSED, the thresholded symmetric epipolar distance.

Photoconsistent-NVS (Yu et al. 2023, arXiv 2304.10700): of two views with known cameras, the epipolar line of a point in one must
pass through its match in the other. The distance of a pair of views is the median over its matches of the mean of both
distances; TSED is the share of pairs that have enough matches and a distance below a threshold. Legend: N matches, V views, S side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ....errors import UsageError
from ..outline import ARM, HALF_SQUARE, INRADIUS, PERIODS, STAR
from .match import distances, pairs
from .read import Found, Reading, read_all

MATCHES = 10  # fewest matches, as published
ERROR = 2.0  # pixels of a picture PUBLISHED_SIDE wide: the largest distance, as published
PUBLISHED_SIDE = 256
FAR = 0.5  # in sides of the picture: a shape of another view farther away is another one
_STAR_TIPS = tuple((STAR[0] * math.sin(a), -STAR[0] * math.cos(a)) for a in np.arange(5) * math.tau / 5)
_ARMS = tuple((s * x, t * y) for x, y in ((1, ARM), (ARM, 1)) for s in (-1, 1) for t in (-1, 1))
CORNERS = {
    "circle": (),
    "square": tuple((x, y) for x in (-HALF_SQUARE, HALF_SQUARE) for y in (-HALF_SQUARE, HALF_SQUARE)),
    "triangle": tuple((2 * INRADIUS * math.sin(a), -2 * INRADIUS * math.cos(a)) for a in np.arange(3) * math.tau / 3),
    "star": _STAR_TIPS,
    "ring": (),
    "cross": _ARMS,
}


def fundamental(camera: np.ndarray, pose: np.ndarray, other_camera: np.ndarray, other_pose: np.ndarray) -> np.ndarray:
    """F (3, 3) with q^T F p = 0 for a point p of one view and q of the other, homogeneous pixels (x, y, 1).

    `camera` are the intrinsics K (3, 3), in pixels, `pose` the 4x4 map from world to camera. UsageError where both centres are one.
    """
    relative = np.asarray(other_pose, dtype=np.float64) @ np.linalg.inv(np.asarray(pose, dtype=np.float64))
    turn, (x, y, z) = relative[:3, :3], relative[:3, 3]
    if math.hypot(x, y, z) < 1e-12:
        raise UsageError("poses: two views have one centre, so points have no epipolar lines; move the camera")
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.linalg.inv(other_camera).T @ cross @ turn @ np.linalg.inv(camera))


def epipolar_distances(matrix: np.ndarray, points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Symmetric epipolar distances in pixels, (N,), of matched points (N, 2) and (N, 2): the mean of that of `others` to the lines
    of `points` and of `points` to the lines of `others`, `matrix` being the F of `fundamental`."""
    p, q = (np.column_stack([side, np.ones(len(side))]) for side in (points, others))
    lines, other_lines = p @ matrix.T, q @ matrix
    wrong = np.abs((q * lines).sum(1))
    return np.asarray((wrong / np.hypot(*lines[:, :2].T) + wrong / np.hypot(*other_lines[:, :2].T)) / 2)


def tsed(found: Sequence[np.ndarray], error: float = ERROR, matches: int = MATCHES) -> float:
    """The share of pairs of views that are consistent, from the distances (N,) of the matches of each pair: at least `matches` of
    them and a median below `error`, both in pixels."""
    if not len(found):
        raise UsageError("found: TSED needs at least one pair of views")
    return float(np.mean([len(one) >= max(matches, 1) and float(np.median(one)) < error for one in found]))


def matched_points(one: Reading, other: Reading) -> tuple[np.ndarray, np.ndarray]:
    """Points of two pictures that are the same ones, (N, 2) each in sides of the picture: centres and corners of shapes that are
    of one kind and colour in both; of several such, the nearest are the same. Corners are told apart by the smaller turn."""
    costs = distances(one.shapes, other.shapes)
    looks = np.array([[(a.kind, a.colour) == (b.kind, b.colour) for b in other.shapes] for a in one.shapes])
    known = np.array([[bool(a.kind) for _ in other.shapes] for a in one.shapes])
    allowed = (looks & known).reshape(costs.shape) if costs.size else np.zeros(costs.shape, dtype=bool)
    points = [_corners(one.shapes[a], other.shapes[b]) for a, b in pairs(np.where(allowed, costs, 2 * FAR), FAR)]
    left, right = (np.concatenate([np.zeros((0, 2)), *(p[i] for p in points)]) for i in (0, 1))
    return left, right


def _corners(one: Found, other: Found) -> tuple[np.ndarray, np.ndarray]:
    """Centre and corners of a shape as two views show it, (n, 2) each."""
    period = PERIODS[one.kind]
    turn = other.angle - one.angle
    turn = turn - round(turn / period) * period if period else 0.0
    local = np.array([(0.0, 0.0), *CORNERS[one.kind]])
    sides = []
    for shape, angle in ((one, one.angle), (other, one.angle + turn)):
        cos, sin = math.cos(angle), math.sin(angle)
        sides.append(local @ np.array([[cos, sin], [-sin, cos]]) * shape.size + [shape.x, shape.y])
    return sides[0], sides[1]


def views_tsed(
    views: np.ndarray | Tensor,
    cameras: np.ndarray,
    poses: np.ndarray,
    error: float = ERROR,
    matches: int = MATCHES,
) -> float:
    """TSED of neighbouring views, uint8 (V, S, S, 3) or float (V, 3, S, S) in [-1, 1], matched by what is read of them.

    `cameras` (V, 3, 3) are intrinsics in pixels of these views, `poses` (V, 4, 4) maps from world to camera, `error` is in pixels of
    a picture 256 wide, as published, whatever the views' size. A shape of the world has 1 to 9 points, so few shapes need fewer
    `matches` than the published 10.
    """
    count, side = len(views), views.shape[2] if views.ndim == 4 else 0
    if count < 2 or np.shape(cameras) != (count, 3, 3) or np.shape(poses) != (count, 4, 4):
        raise UsageError(
            f"views, cameras and poses must be at least two of each, (V, ...), (V, 3, 3) and (V, 4, 4), got {tuple(views.shape)}, "
            f"{np.shape(cameras)} and {np.shape(poses)}"
        )
    lines = [fundamental(cameras[i], poses[i], cameras[i + 1], poses[i + 1]) for i in range(count - 1)]
    found = []
    for matrix, (one, other) in zip(lines, itertools.pairwise(read_all(views)), strict=True):
        left, right = matched_points(one, other)
        found.append(epipolar_distances(matrix, left * side, right * side))
    return tsed(found, error * side / PUBLISHED_SIDE, matches)
