from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from nextset.data.loader import Loader
from nextset.data.open import open_dataset
from nextset.data.shapes import Camera, Scene, Shape, Shapes
from nextset.data.shapes.outline import AREAS, PERIODS
from nextset.data.shapes.phrase import Group, Prompt, parse, wording
from nextset.data.shapes.render import coverage, render
from nextset.data.shapes.sample import BACKGROUNDS, CLASSES, sample
from nextset.data.shapes.scene import COLOURS, KINDS, REACH
from nextset.data.shapes.world import World
from nextset.errors import UsageError

# outlines and pixels


@pytest.mark.parametrize("kind", KINDS)
def test_areas_periods_and_reach(kind: str) -> None:
    for angle in (0.0, 0.4):
        drawn = coverage(kind, np.array([[0.5, 0.5, 0.25, angle]]), 256)[0]
        # antialiasing errs at corners only: some of a shape's few corners, each less than a pixel's area
        assert abs(drawn.sum() / 64**2 - AREAS[kind]) < 0.01
        y, x = np.nonzero(drawn > 0.5)
        assert abs(np.hypot(x - 127.5, y - 127.5).max() / 64 - REACH[kind]) < 0.06
        turned = coverage(kind, np.array([[0.5, 0.5, 0.25, angle + PERIODS[kind]]]), 256)[0]
        assert np.abs(turned - drawn).max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_centres_are_centroids(kind: str) -> None:
    drawn = coverage(kind, np.array([[0.4, 0.55, 0.2, 0.3]]), 128)[0]
    centre = (np.arange(128) + 0.5) / 128
    assert abs((drawn.sum(0) * centre).sum() / drawn.sum() - 0.4) < 2e-3
    assert abs((drawn.sum(1) * centre).sum() / drawn.sum() - 0.55) < 2e-3


def test_triangles_point_up_and_angles_turn_clockwise() -> None:
    rows = coverage("triangle", np.array([[0.5, 0.5, 0.3, 0.0]]), 64)[0].sum(1)
    assert rows[20] < rows[40]
    quarter = coverage("triangle", np.array([[0.5, 0.5, 0.3, math.pi / 2]]), 64)[0].sum(0)
    assert quarter[44] < quarter[24]  # the tip points right


def test_nearer_shapes_hide_farther_ones() -> None:
    near, far = Shape("circle", "red", 0.4, 0.5, 0.2, depth=0.1), Shape("square", "blue", 0.6, 0.5, 0.2, depth=0.9)
    for shapes in ((near, far), (far, near)):
        scene = Scene(shapes)
        assert [scene.shapes[i].kind for i in scene.drawing_order()] == ["square", "circle"]
        found = render([scene], 64)
        assert tuple(found.images[0, 32, 30]) == COLOURS["red"]
        assert tuple(found.images[0, 32, 44]) == COLOURS["blue"]
        assert tuple(found.images[0, 2, 2]) == scene.background
        assert found.instances[0, 32, 30] == shapes.index(near) + 1
        assert found.kinds[0, 32, 44] == KINDS.index("square") + 1
        assert found.depths[0, 32, 30] == np.float32(0.1)
        assert found.depths[0, 2, 2] == 1
        left, top, right, bottom = found.boxes(0)[shapes.index(near)]
        assert (left, top, right, bottom) == (13, 19, 38, 45)  # pixels whose centres lie in 12.8..38.4 and 19.2..44.8
        edges = found.edges()[0]
        assert edges[32, 12]
        assert not edges[32, 20]
        assert not edges[2, 2]


def test_a_batch_renders_as_its_scenes_do() -> None:
    scenes = [sample(0, i).scene for i in range(12)]
    together = render(scenes, 32).images
    alone = np.concatenate([render([scene], 32).images for scene in scenes])
    assert np.array_equal(together, alone)


# motion and cameras


def test_motion_is_a_function_of_time() -> None:
    shape = Shape("ring", "green", 0.5, 0.5, 0.1, velocity=(0.2, -0.1), spin=0.5)
    scene = Scene((shape,))
    later = scene.at(1.0).shapes[0]
    assert (later.x, later.y, later.angle) == pytest.approx((0.7, 0.4, 0.5))
    back = dataclasses.replace(shape, velocity=(1.6, 0.0)).at(1.0)  # there and back between walls 0.8 apart
    assert back.x == pytest.approx(0.5)
    for time in np.linspace(-5, 5, 41):
        moved = scene.at(float(time)).shapes[0]
        assert moved.reach <= moved.x <= 1 - moved.reach


def test_cameras_move_the_picture() -> None:
    scene = Scene((Shape("square", "blue", 0.5, 0.5, 0.1, depth=1.0),))
    plain = render([scene], 64).instances[0]
    right = render([dataclasses.replace(scene, camera=Camera(x=0.25))], 64).instances[0]
    assert np.array_equal(np.roll(plain, 16, 1), right)
    zoomed = render([dataclasses.replace(scene, camera=Camera(zoom=2.0))], 64).instances[0]
    assert zoomed.sum() == 22 * 22  # pixels whose centres are within 10.88 of the centre; 10 x 10 without the zoom
    assert plain.sum() == 10 * 10
    far = render([dataclasses.replace(scene, camera=Camera(zoom=2.0, parallax=1.0))], 64).instances[0]
    assert np.array_equal(far, plain)
    turned = render([dataclasses.replace(scene, camera=Camera(roll=math.pi / 2))], 64).instances[0]
    assert np.array_equal(turned, plain)


def test_unknown_looks_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'circle'"):
        Shape("circel", "red", 0.5, 0.5, 0.1)
    with pytest.raises(UsageError, match="did you mean 'purple'"):
        Shape("circle", "purpel", 0.5, 0.5, 0.1)


# sampling


def test_scenes_are_random_access() -> None:
    forward = [sample(5, i) for i in range(30)]
    assert forward[::-1] == [sample(5, i) for i in reversed(range(30))]
    assert forward != [sample(6, i) for i in range(30)]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_scenes_show_everything_whole(most: int) -> None:
    for i in range(200):
        one = sample(1, i, World(most=most))
        shapes = one.scene.shapes
        assert len(shapes) == one.prompt.total <= most
        assert one.scene.background in BACKGROUNDS
        for k, a in enumerate(shapes):
            assert a.reach <= a.x <= 1 - a.reach
            assert a.reach <= a.y <= 1 - a.reach
            assert all(math.hypot(a.x - b.x, a.y - b.y) > a.reach + b.reach for b in shapes[:k])
        largest = max(shapes, key=lambda shape: shape.size)
        assert CLASSES[one.label] == f"{largest.colour} {largest.kind}"


def test_the_world_is_varied() -> None:
    samples = [sample(2, i) for i in range(1500)]
    totals = np.bincount([s.prompt.total for s in samples], minlength=4)[1:] / 1500
    assert totals.min() > 0.15
    assert (
        np.bincount([s.label for s in samples], minlength=len(CLASSES)).min() >= 15
    )  # 42 expected, 4 deviations below
    relations = [s.prompt.relation for s in samples if s.prompt.relation]
    assert {relations.count(r) / len(relations) > 0.2 for r in ("left of", "right of", "above", "below")} == {True}
    pairs = [s.prompt.relation for s in samples if s.prompt.second]
    assert 0.2 < pairs.count(None) / len(pairs) < 0.3  # 0.25 of some 600: 3 deviations


# words


@pytest.mark.parametrize(
    ("caption", "prompt"),
    [
        (
            "two red circles left of a blue square",
            Prompt(Group(2, "circle", "red"), "left of", Group(1, "square", "blue")),
        ),
        (
            "There is a small green triangle under 1 large cross.",
            Prompt(Group(1, "triangle", "green", "small"), "below", Group(1, "cross", None, "large")),
        ),
        ("a picture of three crosses", Prompt(Group(3, "cross"))),
        ("the star is to the right of the ring", Prompt(Group(1, "star"), "right of", Group(1, "ring"))),
    ],
)
def test_captions_are_understood(caption: str, prompt: Prompt) -> None:
    assert parse(caption) == prompt


def test_every_wording_means_its_prompt() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for i in range(300):
        prompt = sample(3, i).prompt
        caption = wording(prompt, rng)
        seen.add(caption)
        assert parse(caption) in (prompt, prompt.swapped())
        assert parse(str(prompt)) == prompt
    assert len(seen) > 250


@pytest.mark.parametrize(
    "caption", ["", "a dog", "a red", "a red circle near a blue square", "a red circle left of", "a huge circle"]
)
def test_other_words_are_refused(caption: str) -> None:
    with pytest.raises(UsageError, match="not of this world"):
        parse(caption)


# the data set


def test_the_data_set() -> None:
    train, test = Shapes("train"), Shapes("test", 64)
    assert (len(train), len(test), len(train.classes)) == (50_000, 2_000, 36)
    assert train[7].image.shape == (32, 32, 3)
    assert test[7].image.shape == (64, 64, 3)
    assert train[7].caption != test[7].caption
    stack = train.stack(np.array([7, 49_999]))
    assert np.array_equal(stack.images[0], train[7].image)
    assert stack.labels[0] == train[7].label
    assert open_dataset("shapes-64", "test").name == "shapes-64:test"
    batch = Loader(train, 8, (32, 32), 3).at(0)
    assert batch.images.shape == (8, 3, 32, 32)
    assert all(parse(caption) for caption in batch.captions)


def test_all_is_train_then_test() -> None:
    both, train, test = (Shapes(split, count=10) for split in ("all", "train", "test"))
    assert len(both) == 20
    assert [both.sample(i) for i in range(20)] == [d.sample(i) for d in (train, test) for i in range(10)]
    with pytest.raises(IndexError):
        both[20]
    with pytest.raises(UsageError, match="split"):
        Shapes("valid")
    with pytest.raises(UsageError, match="most"):
        World(most=7)
