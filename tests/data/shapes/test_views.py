"""Views: rigid cameras, exact epipolar geometry, matches that show the same point."""

from __future__ import annotations

import numpy as np
import pytest

from nextset.data.shapes import Views, World
from nextset.data.shapes.grading import epipolar_distances, fundamental
from nextset.data.shapes.scene import TEXTURES
from nextset.data.shapes.views import FLOOR, SKY, cast, intrinsics, look, matches, rays, stage
from nextset.errors import UsageError

SIDE = 32
WORLD = World(most=4, textures=TEXTURES)


@pytest.mark.parametrize("index", range(6))
def test_matches_lie_on_epipolar_lines(index: int) -> None:
    scene = stage(1, index, 3, WORLD)
    for i, k in ((0, 1), (1, 2), (2, 0)):
        found = matches(scene, i, k, SIDE)
        poses = [scene.cameras[view].pose for view in (i, k)]
        assert found.visible.sum() > 100
        lens = intrinsics(SIDE)
        right = fundamental(lens, poses[0], lens, poses[1])
        assert epipolar_distances(right, found.first, found.second).max() < 1e-6
        errors = []
        for angle in np.radians([0, 1, 3, 10]):
            cos, sin = np.cos(angle), np.sin(angle)
            turn = np.array([[cos, 0, sin, 0], [0, 1, 0, 0], [-sin, 0, cos, 0], [0, 0, 0, 1]])
            wrong = fundamental(lens, poses[0], lens, turn @ poses[1])
            errors.append(np.median(epipolar_distances(wrong, found.first, found.second)))
        assert errors == sorted(errors)
        assert errors[-1] > 0.3


def test_cameras_are_rigid_and_see_the_middle() -> None:
    for index in range(20):
        scene = stage(2, index, 4)
        for camera in scene.cameras:
            turn = camera.pose[:3, :3]
            assert np.allclose(turn @ turn.T, np.eye(3))
            assert np.linalg.det(turn) == pytest.approx(1)
            centre, ways = rays(camera, np.array([[SIDE / 2, SIDE / 2]]), SIDE)
            assert centre[1] < 0  # above the floor, y points down
            assert np.allclose(centre + 4 * ways[0], [0, -0.35, 0])
            up = camera.pose[:3, :3] @ [0, -1, 0]
            assert up[1] < 0  # what is up in the world is up in the picture
        assert [c.azimuth for c in scene.cameras] == sorted(c.azimuth for c in scene.cameras)


def test_matches_are_the_same_points() -> None:
    hidden = 0
    for index in range(8):
        scene = stage(3, index, 2, WORLD)
        found = matches(scene, 0, 1, SIDE)
        image, depth, surface = look(scene, 0, SIDE)
        rows = np.flatnonzero(depth.reshape(-1) < np.inf)
        assert len(rows) == len(found.first)
        pose = scene.cameras[0].pose
        own = found.points @ pose[:3, :3].T + pose[:3, 3]
        assert np.allclose(own[:, 2], depth.reshape(-1)[rows], rtol=1e-5)
        seen = own @ intrinsics(SIDE).T
        assert np.allclose(seen[:, :2] / seen[:, 2:], found.first)
        again = cast(scene.cards, *rays(scene.cameras[1], found.second[found.visible], SIDE))
        assert (again.surface == surface.reshape(-1)[rows][found.visible]).all()
        inside = ((found.second >= 0) & (found.second <= SIDE)).all(1)
        covered = cast(scene.cards, *rays(scene.cameras[1], found.second, SIDE)).depth
        other = scene.cameras[1].pose
        far = (found.points @ other[:3, :3].T + other[:3, 3])[:, 2]
        assert (covered[inside & ~found.visible] < far[inside & ~found.visible]).all()
        hidden += (inside & ~found.visible).sum()
    assert hidden > 50


def test_there_and_back() -> None:
    scene = stage(5, 1, 2)
    same = matches(scene, 1, 1, SIDE)
    assert np.allclose(same.first, same.second)
    assert same.visible.all()


def test_pictures_show_cards_on_the_floor() -> None:
    scene = stage(6, 0, 1, World(most=1))
    image, depth, surface = look(scene, 0, 64)
    assert set(np.unique(surface)) == {SKY, FLOOR, FLOOR + 1}
    assert (np.isinf(depth) == (surface == SKY)).all()
    assert (image[0] == scene.sky).all()  # the top row is above everything
    assert (surface[0] == SKY).all()
    y, x = np.nonzero(surface == FLOOR + 1)
    centre = scene.cameras[0].pose[:3] @ np.append(scene.cards[0].centre, 1)
    u, v = (intrinsics(64) @ centre)[:2] / centre[2]
    assert abs(x.mean() + 0.5 - u) < 2
    assert y.min() < v < y.max()
    feet = np.array([scene.cards[0].x, 0, scene.cards[0].z, 1])
    foot = scene.cameras[0].pose[:3] @ feet
    assert abs(y.max() + 0.5 - (intrinsics(64) @ foot)[1] / foot[2]) < 1.5  # it stands, neither sunk nor afloat


def test_the_data_set() -> None:
    data = Views("test", 32, world=WORLD, views=2)
    stack = data.stack(np.arange(4))
    assert stack.images.shape == (4, 2, 32, 32, 3)
    assert stack.poses.shape == (4, 2, 4, 4)
    assert np.array_equal(stack.intrinsics[1, 1], intrinsics(32))
    scene = data.stages([3])[0]
    image, depth, surface = look(scene, 1, 32)
    assert np.array_equal(stack.images[3, 1], image)
    assert np.array_equal(stack.depths[3, 1], depth)
    assert np.array_equal(stack.surfaces[3, 1], surface)
    assert np.array_equal(stack.poses[3, 1], scene.cameras[1].pose)
    assert stack.captions[3] == scene.caption
    with pytest.raises(UsageError, match="views"):
        Views(views=0)
