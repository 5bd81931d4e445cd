"""Pictures and their truth: windows draw what whole pictures would, textures, words, normals."""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np
import pytest

from benchmarks.shapes import whole
from nextset.data.shapes import Camera, Lettering, Scene, Shape, Shapes, Truths, World
from nextset.data.shapes.glyphs import _ROWS, bitmap, length, written
from nextset.data.shapes.relief import BEVEL, FACING
from nextset.data.shapes.render import WORD, pictures, render
from nextset.data.shapes.scene import BLACK, COLOURS, KINDS, LETTERS, TEXTURES
from nextset.data.shapes.texture import DARK
from nextset.errors import UsageError


def crowd(seed: int, count: int = 7) -> Scene:
    """Shapes of all sizes anywhere, on top of each other and beyond the edges."""
    rng = np.random.default_rng(seed)
    shapes = [
        Shape(
            KINDS[rng.integers(6)], tuple(COLOURS)[rng.integers(6)], *rng.uniform(-0.2, 1.2, 2).tolist(),
            float(rng.uniform(0.01, 0.6)), float(rng.uniform(-9, 9)), float(rng.random()),
        )
        for _ in range(count)
    ]  # fmt: skip
    return Scene(tuple(shapes))


@pytest.mark.parametrize("side", [16, 33, 64])
def test_windows_draw_what_whole_pictures_would(side: int) -> None:
    scenes = [crowd(seed) for seed in range(40)]
    assert np.array_equal(pictures(scenes, side), whole(scenes, side))
    assert np.array_equal(render(scenes, side).images, whole(scenes, side))
    assert len(pictures([], side)) == 0


@pytest.mark.parametrize(
    ("split", "side", "images", "words"),
    [
        ("train", 32, "e3a82e4963f509f2", "7554a394ed088fd0"),
        ("test", 64, "9a372aae7b628d87", "83b69c35d835ce32"),
    ],
)
def test_the_default_stream_stays_as_it_is(split: str, side: int, images: str, words: str) -> None:
    """Classifiers, protocols and trained systems depend on it."""
    stack = Shapes(split, side).stack(np.arange(200))
    assert hashlib.sha256(stack.images.tobytes()).hexdigest()[:16] == images
    told = "\n".join(stack.captions) + str(stack.labels.tolist())
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == words


@pytest.mark.parametrize("texture", TEXTURES[1:])
def test_textures_darken_a_part_of_the_shape_alone(texture: str) -> None:
    plain = Shape("square", "white", 0.5, 0.5, 0.3, angle=0.3)
    both = [Scene((dataclasses.replace(plain, texture=name),)) for name in ("plain", texture)]
    found = render(both, 128)
    assert np.array_equal(found.instances[0], found.instances[1])
    inside = found.instances[0] > 0
    outside = (found.images[0] == BLACK).all(-1)
    assert (found.images[1][outside] == BLACK).all()
    assert (found.images[1] <= found.images[0]).all()
    ratio = found.images[1][inside].astype(float).mean() / found.images[0][inside].mean()
    dark = (1 - ratio) / (1 - DARK)  # the share of the area
    assert abs(dark - {"striped": 0.5, "checked": 0.5, "dotted": math.pi * 0.27**2 / 0.8**2}[texture]) < 0.08
    middle = found.images[1][40:88, 40:88]
    assert abs(int(middle.min()) - 240 * DARK) < 2
    assert middle.max() == 240
    moved = Scene((dataclasses.replace(both[1].shapes[0], x=0.5 + 1 / 16, y=0.5 - 1 / 8),))
    assert np.array_equal(np.roll(found.images[1], (-16, 8), (0, 1)), pictures([moved], 128)[0])


def test_floors_fade() -> None:
    image = pictures([Scene((), (0, 0, 0), floor=(200, 100, 0))], 50)[0]
    assert tuple(image[0, 7]) == (2, 1, 0)
    assert tuple(image[-1, 7]) == (198, 99, 0)
    assert (np.diff(image[:, 0, 0].astype(int)) == 4).all()


def test_letters_differ_and_cover_their_dots() -> None:
    assert set(_ROWS) == LETTERS
    maps = {letter: bitmap(letter) for letter in LETTERS}
    assert all(dots.shape == (7, 5) for dots in maps.values())
    alike = [(a, b) for a in maps for b in maps if a < b and np.abs(maps[a] - maps[b]).sum() < 2]
    assert not alike
    assert bitmap("AB7").shape == (7, 17)
    for side, height in ((32, 7 / 32), (50, 0.31)):
        share = written("CAB", 0.5, 0.4, height, side)
        assert share.max() <= 1 + 1e-6
        assert share.sum() == pytest.approx(bitmap("CAB").sum() * (height / 7 * side) ** 2, rel=1e-5)
        columns = np.flatnonzero(share.sum(0))
        assert abs((columns[-1] + 1 - columns[0]) / side - length("CAB", height)) <= 2 / side
    exact = written("CAB", 17 / 64, 7 / 64, 7 / 32, 32)
    assert np.array_equal(exact[:7, :17], bitmap("CAB"))
    with pytest.raises(UsageError, match="A-Z and 0-9"):
        Lettering("no", 0.5, 0.5, 0.2)


def test_words_are_before_everything() -> None:
    word = Lettering("W", 0.5, 0.5, 7 / 16, "red")  # dots of 4 x 4 pixels
    found = render([Scene((Shape("circle", "blue", 0.5, 0.5, 0.4, depth=0.0),), words=(word,))], 64)
    here = found.instances[0] == 2
    assert (found.kinds[0][here] == WORD).all()
    assert (found.depths[0][here] == 0).all()
    assert (found.images[0][here] == COLOURS["red"]).all()
    assert here.sum() == bitmap("W").sum() * 16
    assert found.boxes(0)[1] == (22, 18, 42, 46)


@pytest.mark.parametrize("kind", KINDS)
def test_normals_lean_outwards_at_the_edge(kind: str) -> None:
    scene = Scene((Shape(kind, "red", 0.5, 0.5, 0.35, angle=0.4),))
    found = render([scene], 128)
    normals, inside = found.normals[0], found.instances[0] > 0
    assert np.allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
    assert (normals[~inside] == FACING).all()
    assert normals[inside][:, 2].min() < 0.35  # all but upright at the very edge
    assert (normals[..., 2] >= 0).all()
    # going along the leaning part of a normal gets closer to the outside
    y, x = np.nonzero(inside & (normals[..., 2] < 0.9))
    across, down = normals[y, x, 0], normals[y, x, 1]
    steps = BEVEL * 0.35 * 128 * 1.2 / np.hypot(across, down)
    ends = np.stack([y + down * steps, x + across * steps]).round().astype(int).clip(0, 127)
    assert (~inside[ends[0], ends[1]]).mean() > 0.85
    turned = render([dataclasses.replace(scene, camera=Camera(roll=math.pi / 2))], 128).normals[0]
    expected = np.rot90(normals, 1)[..., [1, 0, 2]] * [1, -1, 1]
    assert np.abs(turned - expected).mean() < 0.01


def test_truths_are_of_the_same_pictures() -> None:
    world = World(most=4, overlap=0.4, letters=2)
    stack, plain = (kind("test", 32, world=world).stack(np.arange(40)) for kind in (Truths, Shapes))
    assert np.array_equal(stack.images, plain.images)
    assert stack.captions == plain.captions
    for b, (instances, boxes) in enumerate(zip(stack.instances, stack.boxes, strict=True)):
        for number, (left, top, right, bottom) in enumerate(boxes.tolist(), 1):
            mask = instances == number
            assert mask.any() == (right > 0)
            if mask.any():
                assert mask[top:bottom, left:right].sum() == mask.sum()
                assert mask[top].any()
                assert mask[:, right - 1].any()
        assert (stack.kinds[b] > 0).tolist() == (instances > 0).tolist()
        assert not stack.edges[b][(instances == 0).all()].any()
