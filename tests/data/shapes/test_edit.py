"""Edits: instructions have one result, name one shape, and nothing else changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nextset.data.shapes import Edits, Scene, Shape, World
from nextset.data.shapes.edit import EDITS, carry_out, changed, edit, name_of
from nextset.data.shapes.render import pictures
from nextset.data.shapes.scene import TEXTURES
from nextset.data.shapes.world import EDGE, GAP, RADII
from nextset.errors import UsageError

WORLD = World(most=4, textures=TEXTURES, fades=True)
RED, BLUE = Shape("circle", "red", 0.3, 0.4, 0.115), Shape("square", "blue", 0.7, 0.6, 0.19)
SCENE = Scene((RED, BLUE))


@pytest.mark.parametrize("kind", EDITS)
def test_instructions_lead_from_before_to_after(kind: str) -> None:
    for index in range(40):
        one = edit(3, index, WORLD, [kind])
        assert one == edit(3, index, WORLD, [kind])
        assert one.kind == kind
        assert carry_out(one.before, one.instruction) == one.after
        assert carry_out(one.before, one.instruction.upper() + ".") == one.after
        before, after = set(one.before.shapes), set(one.after.shapes)
        assert (len(before - after), len(after - before)) == {"remove": (1, 0), "add": (0, 1), "swap": (2, 2)}.get(
            kind, (1, 1)
        )
        assert len(after) <= WORLD.most
        looks = [(s.kind, s.colour) for s in one.after.shapes]
        assert len(set(looks)) == len(looks)
        for i, a in enumerate(one.after.shapes):
            assert a.reach <= min(a.x, a.y)
            assert max(a.x, a.y) <= 1 - a.reach
            assert all(np.hypot(a.x - b.x, a.y - b.y) >= a.reach + b.reach + GAP - 1e-9 for b in one.after.shapes[:i])


def test_masks_are_around_what_was_edited() -> None:
    for index in range(60):
        one = edit(4, index, WORLD)
        mask = changed(one, 64)
        assert mask.any()
        touched = set(one.before.shapes) ^ set(one.after.shapes)
        y, x = (np.argwhere(mask).T + 0.5) / 64
        reached = [np.hypot(x - s.x, y - s.y) <= s.reach + 2 / 64 for s in touched]
        assert np.any(reached, axis=0).all()
        images = pictures([one.before, one.after], 64)
        assert (images[0][~mask] == images[1][~mask]).all()


@pytest.mark.parametrize(
    ("instruction", "place", "changes"),
    [
        ("make the red circle green", 0, {"colour": "green"}),
        ("make the circle striped", 0, {"texture": "striped"}),
        ("make the small circle large", 0, {"size": RADII["large"]}),
        ("turn the blue square into a ring", 1, {"kind": "ring"}),
        ("move the large blue square to the left edge", 1, {"x": BLUE.reach + EDGE}),
        ("move the red circle to the bottom edge", 0, {"y": 1 - RED.reach - EDGE}),
    ],
)
def test_sentences_change_one_thing(instruction: str, place: int, changes: dict[str, object]) -> None:
    expected = list(SCENE.shapes)
    expected[place] = dataclasses.replace(expected[place], **changes)  # type: ignore[arg-type]
    assert carry_out(SCENE, instruction).shapes == tuple(expected)


def test_shapes_come_go_and_swap() -> None:
    assert carry_out(SCENE, "remove the red circle").shapes == (BLUE,)
    swapped = carry_out(SCENE, "swap the blue square and the circle").shapes
    assert [(s.kind, s.x, s.y) for s in swapped] == [("circle", 0.7, 0.6), ("square", 0.3, 0.4)]
    new = carry_out(SCENE, "add a small dotted white cross in the top right corner").shapes[2]
    assert (new.kind, new.colour, new.texture, new.size) == ("cross", "white", "dotted", RADII["small"])
    assert (new.x, new.y) == pytest.approx((1 - new.reach - EDGE, new.reach + EDGE))
    middle = carry_out(SCENE, "add a large red star in the middle").shapes[2]
    assert (middle.x, middle.y) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("instruction", "said"),
    [
        ("paint the red circle blue", "is none"),
        ("remove the green circle", "no shape is"),
        ("remove the big circle", "not of this world"),
        ("make the square huge", "is none"),
        ("remove the star and the ring", "not of this world"),
    ],
)
def test_other_words_are_refused(instruction: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        carry_out(SCENE, instruction)


def test_names_are_of_one_shape() -> None:
    large, striped = dataclasses.replace(RED, size=0.19), dataclasses.replace(RED, texture="striped")
    assert name_of(RED, SCENE.shapes) == "the red circle"
    assert name_of(RED, (RED, large)) == "the small red circle"
    assert name_of(striped, (RED, striped)) == "the striped red circle"
    assert (
        name_of(striped, (RED, striped, dataclasses.replace(large, texture="striped")))
        == "the small striped red circle"
    )
    with pytest.raises(UsageError, match="twin"):
        name_of(RED, (RED, dataclasses.replace(RED, x=0.8)))
    with pytest.raises(UsageError, match="several"):
        carry_out(Scene((RED, large)), "remove the red circle")


def test_worlds_bar_some_edits() -> None:
    kinds = {edit(0, index, World(most=1)).kind for index in range(120)}
    assert kinds == set(EDITS) - {"swap", "retexture"}
    with pytest.raises(UsageError, match="most >= 2"):
        edit(0, 0, World(most=1), ["swap"])
    with pytest.raises(UsageError, match="did you mean 'recolour'"):
        edit(0, 0, kinds=["recolor"])


def test_the_data_set() -> None:
    data = Edits("test", 32, world=WORLD)
    stack = data.stack(np.arange(64))
    assert stack.sources.shape == stack.images.shape == (64, 32, 32, 3)
    assert np.array_equal(stack.masks, (stack.sources != stack.images).any(-1))
    assert data.name == "shapes-edits(most=4, textures=('plain', 'striped', 'dotted', 'checked'), fades=True):test"
    assert set(stack.labels.tolist()) == set(range(len(EDITS)))
    assert stack.captions[5] == edit(*data.keys([5])[0], WORLD).instruction
    assert np.array_equal(data.stack(np.array([5])).images[0], stack.images[5])
    with pytest.raises(IndexError):
        data.stack(np.array([2000]))
