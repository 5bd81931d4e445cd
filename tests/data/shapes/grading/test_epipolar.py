"""TSED on exact projections."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nextset.data.shapes import Scene, Shape
from nextset.data.shapes.grading.epipolar import epipolar_distances, fundamental, tsed, views_tsed
from nextset.data.shapes.render import render
from nextset.errors import UsageError

SIDE = 128
K = np.array([[150.0, 0, 64], [0, 150.0, 64], [0, 0, 1]])


def turned(axis: int, angle: float) -> np.ndarray:
    """Rotation about x, y or z."""
    a, b = [i for i in range(3) if i != axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = math.cos(angle)
    matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
    return matrix


def pose(rotation: np.ndarray, shift: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, shift
    return matrix


def projected(points: np.ndarray, camera: np.ndarray, world_to_camera: np.ndarray) -> np.ndarray:
    seen = points @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    pixels = seen @ camera.T
    return pixels[:, :2] / pixels[:, 2:]


POINTS = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 6], (50, 3))
ONE = pose(turned(2, 0.2) @ turned(0, 0.1), (0.1, 0.0, 0.2))
OTHER = pose(turned(1, 0.3) @ turned(2, -0.1), (-0.8, 0.1, 0.0))
OTHER_K = np.array([[120.0, 0, 60], [0, 140.0, 70], [0, 0, 1]])


def test_exact_projections_lie_on_their_lines() -> None:
    matrix = fundamental(K, ONE, OTHER_K, OTHER)
    p, q = projected(POINTS, K, ONE), projected(POINTS, OTHER_K, OTHER)
    assert epipolar_distances(matrix, p, q).max() < 1e-9
    back = fundamental(OTHER_K, OTHER, K, ONE)
    assert epipolar_distances(back, q + 1, p) == pytest.approx(epipolar_distances(matrix, p, q + 1))  # symmetric
    assert epipolar_distances(matrix, p[::-1], q).min() < epipolar_distances(matrix, p[::-1], q).max()


def test_a_sideways_camera_has_rows_for_lines() -> None:
    matrix = fundamental(K, np.eye(4), K, pose(np.eye(3), (-0.5, 0, 0)))
    p = np.array([[10.0, 20.0], [50.0, 90.0]])
    q = p + [[-7.0, 3.0], [2.0, -1.5]]
    assert epipolar_distances(matrix, p, q) == pytest.approx([3.0, 1.5])


def test_tsed_counts_pairs_by_both_thresholds() -> None:
    good, few, bad = np.full(10, 1.9), np.full(9, 0.0), np.full(10, 2.0)
    assert tsed([good, few, bad, np.zeros(0)]) == 1 / 4
    assert tsed([good, few, bad], matches=9) == 2 / 3
    assert tsed([good, few, bad], error=2.1) == 2 / 3
    half = np.array([0.1] * 6 + [100.0] * 5)  # a median minds no outliers
    assert tsed([half]) == 1


def test_tsed_falls_with_a_wrong_pose() -> None:
    poses = [pose(turned(1, 0.05 * v), (-0.3 * v, 0.05 * v, 0.0)) for v in range(9)]
    points = [projected(POINTS, K, one) for one in poses]
    shares = []
    for wrong in (0.0, 0.005, 0.02, 0.1):
        told = [pose(turned(0, wrong * v) @ one[:3, :3], tuple(one[:3, 3])) for v, one in enumerate(poses)]
        lines = [fundamental(K, told[v], K, told[v + 1]) for v in range(8)]
        shares.append(tsed([epipolar_distances(m, points[v], points[v + 1]) for v, m in enumerate(lines)]))
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0


BOARDS = (  # kind, colour, centre in space, size: facing the camera, so that their pictures are shapes of the world
    ("square", "blue", (-0.45, -0.4, 3.0), 0.3),
    ("star", "white", (0.5, 0.45, 4.0), 0.45),
    ("triangle", "yellow", (0.55, -0.5, 3.5), 0.35),
    ("circle", "red", (-0.4, 0.5, 3.2), 0.32),
)


def view(shift: tuple[float, float, float]) -> Scene:
    """What a camera sees that is shifted but not turned."""
    shapes = []
    for kind, colour, centre, size in BOARDS:
        x, y, z = np.add(centre, shift).tolist()
        scale = K[0, 0] / z / SIDE
        shapes.append(Shape(kind, colour, 0.5 + x * scale, 0.5 + y * scale, size * scale, 0.2))
    return Scene(tuple(shapes))


def test_rendered_views_are_consistent_with_their_cameras_only() -> None:
    shifts = [(-0.12 * v, 0.05 * v, 0.1 * v) for v in range(4)]
    views = render([view(shift) for shift in shifts], SIDE).images
    cameras = np.stack([K] * 4)
    poses = np.stack([pose(np.eye(3), shift) for shift in shifts])
    assert views_tsed(views, cameras, poses) == 1
    assert views_tsed(views, cameras, poses, matches=100) == 0
    wrong = np.stack([pose(turned(0, 0.1 * v), shift) for v, shift in enumerate(shifts)])
    assert views_tsed(views, cameras, wrong) == 0


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="one centre"):
        fundamental(K, ONE, K, ONE)
    with pytest.raises(UsageError, match="at least two"):
        views_tsed(np.zeros((1, 8, 8, 3), np.uint8), K[None], ONE[None])
    with pytest.raises(UsageError, match="at least one pair"):
        tsed([])
