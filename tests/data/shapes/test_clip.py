"""Videos: straight motion, walls, occlusion, and a shape that obeys."""

from __future__ import annotations

import numpy as np
import pytest

from nextset.data.shapes import Clips, Scene, Shape, World
from nextset.data.shapes.clip import ACTIONS, MOTIONS, PACES, STRIDE, clip, steer
from nextset.data.shapes.render import pictures, render
from nextset.errors import UsageError


def test_shapes_set_out_as_the_caption_says() -> None:
    for index in range(60):
        one = clip(1, index, 4)
        words = one.caption.replace(" and ", ", ").split(", ")
        first, second = one.scenes[0].shapes, one.scenes[1].shapes
        assert len(words) == len(first) <= 3
        assert tuple(MOTIONS)[one.label] in words[0]
        for told, a, b in zip(words, first, second, strict=True):
            name, _, motion = told.partition(" moves ")
            pace, _, way = motion.partition(" ")
            assert name.split()[-2:] == [a.colour, a.kind]
            for start, end, step in zip((a.x, a.y), (b.x, b.y), MOTIONS[way], strict=True):
                if a.reach <= start + PACES[pace] * step <= 1 - a.reach:
                    assert end - start == pytest.approx(PACES[pace] * step, abs=1e-9)


def test_velocities_are_constant_up_to_walls() -> None:
    bounced = 0
    for index in range(30):
        scenes = clip(2, index, 20).scenes
        for k in range(len(scenes[0].shapes)):
            places = np.array([(s.shapes[k].x, s.shapes[k].y) for s in scenes])
            reach = scenes[0].shapes[k].reach
            assert places.min() >= reach - 1e-9
            assert places.max() <= 1 - reach + 1e-9
            turns = np.abs(np.diff(places, 2, axis=0)) > 1e-9
            near = np.minimum(places - reach, 1 - reach - places)[1:-1] < max(PACES.values()) + 1e-9
            assert not (turns & ~near).any()
            bounced += turns.any()
    assert bounced > 20


def test_near_shapes_pass_before_far_ones() -> None:
    hidden = 0
    for index in range(20):
        scenes = clip(3, index, 16).scenes
        depths = [shape.depth for shape in scenes[0].shapes]
        for b, instances in enumerate(render(scenes, 32).instances):
            alone = [render([Scene((shape,))], 32).instances[0] > 0 for shape in scenes[b].shapes]
            for i in range(len(depths)):
                for k in range(i):
                    both = alone[i] & alone[k]
                    farther = (i if depths[i] > depths[k] else k) + 1
                    assert not (instances[both] == farther).any()
                    hidden += both.any()
    assert hidden > 10


def test_actions_move_one_shape() -> None:
    mine, other = Shape("ring", "red", 0.5, 0.5, 0.115), Shape("star", "blue", 0.2, 0.2, 0.115, velocity=(0.05, 0.0))
    ways = ["left", "stay", "down", "right", "up"]
    scenes = steer(Scene((mine, other)), [tuple(ACTIONS).index(way) for way in ways])
    assert [(round(s.shapes[0].x, 6), round(s.shapes[0].y, 6)) for s in scenes] == [
        (0.5, 0.5), (0.44, 0.5), (0.44, 0.5), (0.44, 0.56), (0.5, 0.56), (0.5, 0.5),
    ]  # fmt: skip
    assert [s.shapes[1].x for s in scenes] == pytest.approx([0.2 + 0.05 * t for t in range(6)])
    wall = steer(Scene((mine,)), [tuple(ACTIONS).index("up")] * 12)
    assert wall[-1].shapes[0].y == mine.reach
    assert STRIDE * 12 > 0.5
    with pytest.raises(UsageError, match="actions must be 0 to 4, got 9"):
        steer(Scene((mine,)), [9])


def test_steered_clips_follow_their_actions() -> None:
    one = clip(4, 7, 10, steered=True)
    assert one.scenes == steer(one.scenes[0], one.actions)
    assert len(one.actions) == 9
    assert one.scenes[0].shapes[0].depth == 0
    assert "is steered" in one.caption
    other = steer(one.scenes[0], [(action + 1) % 5 for action in one.actions])
    assert other[0] == one.scenes[0]
    assert other[-1].shapes[1:] == one.scenes[-1].shapes[1:]
    shares = np.bincount([a for i in range(100) for a in clip(4, i, 10, steered=True).actions], minlength=5) / 900
    assert shares.min() > 0.12


def test_the_data_set() -> None:
    world = World(most=2)
    free, steered = (Clips("test", 32, world=world, frames=6, steered=how).stack(np.arange(5)) for how in (False, True))
    assert free.images.shape == steered.images.shape == (5, 6, 32, 32, 3)
    assert (free.actions == -1).all()
    assert steered.actions.min() >= 0
    assert (steered.labels == -1).all()
    data = Clips("test", 32, world=world, frames=6)
    one = clip(*data.keys([3])[0], 6, world)
    assert np.array_equal(free.images[3], pictures(one.scenes, 32))
    assert free.captions[3] == one.caption
    with pytest.raises(UsageError, match="frames"):
        Clips(frames=1)
