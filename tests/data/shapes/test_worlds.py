"""Easier and harder worlds, and many scenes at once."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nextset.data.shapes import Shapes, World
from nextset.data.shapes.phrase import Group, Prompt, parse
from nextset.data.shapes.place import CLEAR
from nextset.data.shapes.sample import sample, samples, scattered
from nextset.data.shapes.scene import TEXTURES
from nextset.data.shapes.world import GAP, RADII
from nextset.errors import UsageError

HARD = World(most=6, textures=TEXTURES, jitter=0.15, tilt=3.0, overlap=0.3, distractors=3, fades=True, letters=3)
WORLDS = (World(), World(most=1), World(most=5), World(distractors=4), World(most=6, overlap=0.5), HARD)


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_many_are_as_one_by_one(world: World) -> None:
    keys = [(stream, index) for stream in (1, 2) for index in range(40)]
    assert samples(keys, world) == [sample(*key, world) for key in keys]


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_scenes_are_as_the_world_says(world: World) -> None:
    rows = samples([(7, index) for index in range(150)], world)
    for one in rows:
        shapes, prompt = one.scene.shapes, one.prompt
        assert prompt.total <= world.most
        assert prompt.total <= len(shapes) <= prompt.total + world.distractors
        for k, a in enumerate(shapes):
            assert a.reach <= min(a.x, a.y)
            assert max(a.x, a.y) <= 1 - a.reach
            assert a.texture in world.textures
            apart = [(a.reach + b.reach + GAP) * (1 - world.overlap) for b in shapes[:k]]
            assert all(math.hypot(a.x - b.x, a.y - b.y) >= d - 1e-9 for b, d in zip(shapes[:k], apart, strict=True))
            word = "small" if abs(a.size - RADII["small"]) < abs(a.size - RADII["large"]) else "large"
            assert abs(a.size / RADII[word] - 1) <= world.jitter + 1e-9
        _holds(one.prompt, shapes)
        assert parse(one.caption) in (prompt, prompt.swapped())
        assert (one.scene.floor is not None) == world.fades
        assert [word.text for word in one.scene.words] == ([prompt.word] if world.letters else [])
    assert max(one.prompt.total for one in rows) == world.most
    assert {shape.texture for one in rows for shape in one.scene.shapes} == set(world.textures)


def _holds(prompt: Prompt, shapes: tuple) -> None:  # type: ignore[type-arg]
    """The caption's groups are there, as often as said, and related as said."""
    found = [[s for s in shapes if (s.kind, s.colour) == (group.kind, group.colour)] for group in prompt.groups]
    assert [len(group) for group in found] == [group.count for group in prompt.groups]
    assert all(
        s.texture == (g.texture or "plain") for g, group in zip(prompt.groups, found, strict=True) for s in group
    )
    if prompt.relation:
        axis, sign = {"left of": ("x", -1), "right of": ("x", 1), "above": ("y", -1), "below": ("y", 1)}[
            prompt.relation
        ]
        assert all(sign * (getattr(a, axis) - getattr(b, axis)) >= CLEAR for a in found[0] for b in found[1])


def test_words_are_clear_of_shapes() -> None:
    data = Shapes("test", 64, world=World(letters=5))
    lengths = set()
    for index in range(60):
        scene = data.sample(index).scene
        (word,) = scene.words
        lengths.add(len(word.text))
        near, far = sorted((word.y - word.height / 2, 0.5 + (word.y > 0.5) * 0.5))
        assert 0 <= near <= far <= 1
        for shape in scene.shapes:
            assert abs(shape.y - word.y) > shape.reach + word.height / 2
    assert lengths == {1, 2, 3, 4, 5}


def test_captions_tell_textures_and_words() -> None:
    prompt = Prompt(Group(2, "ring", "red", "small", "striped"), "above", Group(1, "star", None, None, "dotted"), "K9")
    assert str(prompt) == 'two small striped red rings above a dotted star with the word "K9"'
    assert parse(str(prompt)) == prompt
    assert parse('There is a cross and the word "ab".') == Prompt(Group(1, "cross"), word="AB")
    both = Prompt(Group(2, "cross"), None, Group(1, "ring", "red"), "AB")
    assert str(both) == 'two crosses and a red ring with the word "AB"'
    assert parse(str(both)) == both
    assert parse('There are two crosses and a red ring and the word "ab"') == both
    assert (both.swapped().first, both.swapped().relation) == (both.second, None)
    assert prompt.swapped().word == "K9"


@pytest.mark.parametrize(
    ("field", "value"),
    [("most", 0), ("most", 7), ("jitter", 0.5), ("overlap", 0.9), ("distractors", -1), ("letters", 6), ("textures", ()), ("textures", ("furry",)), ("backgrounds", ())],
)  # fmt: skip
def test_wrong_worlds_are_refused(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=field):
        World(**{field: value})  # type: ignore[arg-type]


def test_what_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextset.data.shapes.sample.ROUNDS", 1)
    with pytest.raises(UsageError, match="most=6, distractors=6, letters=5.*lower most"):
        samples([(0, index) for index in range(50)], World(most=6, distractors=6, letters=5))
    with pytest.raises(UsageError, match="hardly ever fit"):
        scattered(np.random.default_rng(2), World(), 6, 6)


def test_names_say_the_world() -> None:
    assert Shapes().name == "shapes:train"
    assert Shapes("test", 64, world=World(most=2, fades=True)).name == "shapes-64(most=2, fades=True):test"
