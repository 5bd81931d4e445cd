"""Clips: true ones have no errors, corrupted ones those that were put in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nextset.data.shapes import Scene, Shape
from nextset.data.shapes.grading.read import read_all
from nextset.data.shapes.grading.tracks import steadiness, track_errors, tracks
from nextset.data.shapes.render import render
from nextset.data.shapes.sample import sample
from nextset.errors import UsageError

START = Scene(
    (
        Shape("circle", "red", 0.2, 0.3, 0.12, velocity=(0.4, 0.0)),
        Shape("square", "blue", 0.8, 0.75, 0.12, velocity=(-0.4, 0.0), spin=0.5),
    )
)
FRAMES = [START.at(t / 10) for t in range(11)]


def clip(scenes: list[Scene], side: int = 64) -> np.ndarray:
    return render(scenes, side).images


def changed(frame: int, shape: int, **fields: object) -> list[Scene]:
    """The frames, one shape of one of which is otherwise."""
    scenes = list(FRAMES)
    shapes = list(scenes[frame].shapes)
    shapes[shape] = dataclasses.replace(shapes[shape], **fields)  # type: ignore[arg-type]
    scenes[frame] = Scene(tuple(shapes))
    return scenes


def test_true_clips_have_no_errors() -> None:
    found = track_errors([clip(FRAMES)], [FRAMES])
    assert found.position < 0.003
    assert (found.missing, found.spurious, found.switches, found.strange, found.mota) == (0, 0, 0, 0, 1)
    alone = steadiness([clip(FRAMES)])
    assert alone.acceleration < 0.004
    assert (alone.colour_flicker, alone.kind_flicker, alone.persistence) == (0, 0, 1)
    assert alone.size_flicker < 0.01
    assert len(tracks(read_all(clip(FRAMES)))) == 2


def test_clips_of_the_world_are_followed() -> None:
    scenes = [[sample(31, i).scene.at(t / 12) for t in range(8)] for i in range(12)]
    found = track_errors([clip(one, 32) for one in scenes], scenes)
    assert found.mota > 0.97
    assert found.position < 0.01


def test_a_missing_shape_is_counted() -> None:
    scenes = [Scene(scene.shapes[:1]) if t in (4, 5) else scene for t, scene in enumerate(FRAMES)]
    found = track_errors([clip(scenes)], [FRAMES])
    assert found.missing == 2 / 22
    assert (found.spurious, found.switches) == (0, 0)  # its track goes on after two frames out of sight
    assert found.mota == 1 - 2 / 22
    assert steadiness([clip(scenes)]).persistence == pytest.approx((1 + 9 / 11) / 2)


def test_a_shape_too_many_is_counted() -> None:
    scenes = [
        Scene((*s.shapes, Shape("star", "white", 0.85, 0.2, 0.12))) if t == 3 else s for t, s in enumerate(FRAMES)
    ]
    assert track_errors([clip(scenes)], [FRAMES]).spurious == 1 / 22


def test_an_offset_is_the_position_error() -> None:
    scenes = [Scene(tuple(dataclasses.replace(s, y=s.y - 0.0625) for s in scene.shapes)) for scene in FRAMES]
    assert track_errors([clip(scenes)], [FRAMES]).position == pytest.approx(0.0625, abs=0.002)


def test_flicker_is_counted() -> None:
    found = steadiness([clip(changed(5, 0, colour="green"))])
    assert found.colour_flicker == 2 / 20  # there and back, of twenty steps
    assert found.kind_flicker == 0
    assert steadiness([clip(changed(5, 1, kind="circle"))]).kind_flicker == 2 / 20
    strange = track_errors([clip(changed(5, 0, colour="green"))], [FRAMES])
    assert (strange.strange, strange.switches) == (1 / 22, 0)


def test_a_jump_is_an_acceleration() -> None:
    calm = steadiness([clip(FRAMES)]).acceleration
    jump = steadiness([clip(changed(5, 0, y=0.36))]).acceleration
    # 0.06 off its path: second differences of 0.06, 0.12 and 0.06 in three of eighteen
    assert jump - calm == pytest.approx(0.24 / 18, abs=0.003)


def test_shapes_that_change_places_are_switches() -> None:
    pair = tuple(Shape("circle", "red", 0.3, y, 0.12, velocity=(0.3, 0.0)) for y in (0.3, 0.7))
    shown = [Scene(pair).at(t / 10) for t in range(11)]
    true = [Scene(scene.shapes if t < 5 else scene.shapes[::-1]) for t, scene in enumerate(shown)]
    found = track_errors([clip(shown)], [true])
    assert (found.switches, found.missing, found.spurious, found.strange) == (2 / 22, 0, 0, 0)
    assert track_errors([clip(shown)], [shown]).switches == 0


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="scenes: 1 for 2 clips"):
        track_errors([clip(FRAMES)] * 2, [FRAMES])
    with pytest.raises(UsageError, match="no frame shows"):
        track_errors([clip([Scene(())])], [[Scene(())]])
