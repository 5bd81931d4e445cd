"""The grader's own accuracy: clean, blurred, noisy, and where shapes hide each other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nextset.data.shapes import Camera, Scene, Shape, read
from nextset.data.shapes.grading.agreement import ATTRIBUTES, agreement
from nextset.data.shapes.grading.read import read_all
from nextset.data.shapes.render import render
from nextset.data.shapes.sample import sample
from nextset.data.shapes.scene import COLOURS, KINDS
from nextset.errors import UsageError


@pytest.mark.parametrize("side", [32, 64])
def test_clean_pictures_are_read_right(side: int) -> None:
    scenes = [sample(11, i).scene for i in range(400)]
    means = agreement(render(scenes, side).images, scenes).means()
    assert means["all"] >= 0.995, means


@pytest.mark.parametrize(("noise", "blur", "least"), [(10, 0.0, 0.99), (0, 0.8, 0.97), (6, 0.6, 0.98)])
def test_mild_noise_and_blur_change_little(noise: int, blur: float, least: float) -> None:
    from scipy.ndimage import gaussian_filter

    scenes = [sample(12, i).scene for i in range(200)]
    for side in (32, 64):
        images = gaussian_filter(render(scenes, side).images.astype(np.float64), (0, blur, blur, 0))
        images += np.random.default_rng(0).normal(0, 1, images.shape) * noise
        means = agreement(images.clip(0, 255).round().astype(np.uint8), scenes).means()
        assert min(means[name] for name in ("count", "kind", "colour", "size", "position")) >= least, means


def test_each_attribute_fails_alone() -> None:
    true = Scene((Shape("circle", "red", 0.3, 0.3, 0.12), Shape("square", "blue", 0.7, 0.6, 0.19)))
    other = {
        "count": (dataclasses.replace(true.shapes[0], x=0.7, y=0.15),),
        "kind": {"kind": "square"},
        "colour": {"colour": "green"},
        "size": {"size": 0.17},
        "position": {"x": 0.38},
    }
    for name, change in other.items():
        first, second = true.shapes
        shapes = (
            (first, second, *change) if isinstance(change, tuple) else (dataclasses.replace(first, **change), second)
        )
        found = agreement(render([Scene(shapes)], 64).images, [true])
        wrong = {attribute for attribute in ATTRIBUTES if not getattr(found, attribute)[0]}
        assert wrong - {"box"} == {name, "all"}  # what is larger or elsewhere has another box, too
    found = agreement(render([dataclasses.replace(true, background=(40, 44, 58))], 64).images, [true])
    assert {a for a in ATTRIBUTES if not getattr(found, a)[0]} == {"background", "all"}


def overlapping(seed: int, hidden: tuple[float, float], alike: bool = False) -> Scene:
    """Two shapes of different colours, or of one, the nearer of which hides a share within `hidden` of the other."""
    rng = np.random.default_rng(seed)
    while True:
        colours = rng.permutation(list(COLOURS))[: 1 if alike else 2].repeat(2 if alike else 1)
        kinds = rng.choice(KINDS, 2)
        places, sizes, tilts = rng.uniform(0.3, 0.7, (2, 2)), rng.uniform(0.12, 0.2, 2), rng.uniform(-0.25, 0.25, 2)
        shapes = tuple(
            Shape(
                str(kinds[i]),
                str(colours[i]),
                *places[i].tolist(),
                float(sizes[i]),
                float(tilts[i]),
                depth=0.2 + 0.6 * i,
            )
            for i in range(2)
        )
        alone, both = (render([Scene(s)], 32).instances[0] for s in ((shapes[1],), shapes))
        if hidden[0] <= 1 - (both == 2).sum() / (alone == 1).sum() <= hidden[1]:
            return Scene(shapes)


def test_shapes_hidden_in_part_are_read() -> None:
    scenes = [overlapping(seed, (0.1, 0.4)) for seed in range(40)]
    for side, least in ((32, 0.8), (64, 0.9)):
        means = agreement(render(scenes, side).images, scenes).means()
        assert means["colour"] >= 0.95, means
        assert min(means["kind"], means["count"], means["position"]) >= least, means


def test_shapes_of_one_colour_that_run_together_are_told_apart() -> None:
    scenes = [overlapping(seed, (0.02, 0.2), alike=True) for seed in range(30)]
    means = agreement(render(scenes, 32).images, scenes).means()
    assert min(means["count"], means["position"]) >= 0.9, means
    assert means["kind"] >= 0.8, means


def test_what_hides_is_read_as_nearer() -> None:
    scenes = [overlapping(seed, (0.1, 0.4)) for seed in range(30)]
    right = 0
    for scene, reading in zip(scenes, read_all(render(scenes, 64).images), strict=True):
        right += [found.colour for found in reading.shapes] == [scene.shapes[1].colour, scene.shapes[0].colour]
    assert right >= 28


def test_shapes_cut_by_the_border_are_read() -> None:
    shape = Shape("circle", "green", 0.05, 0.5, 0.2)
    (found,) = read(render([Scene((shape,))], 64).images[0]).shapes
    assert (found.kind, found.colour) == ("circle", "green")
    assert (found.x, found.y, found.size) == pytest.approx((0.05, 0.5, 0.2), abs=0.01)
    assert found.box[0] == 0


def test_what_was_read_renders_as_the_picture() -> None:
    scenes = [sample(13, i).scene for i in range(60)]
    images = render(scenes, 64).images
    again = render([reading.scene for reading in read_all(images)], 64).images
    assert np.abs(again.astype(int) - images).mean() < 1.0  # of 255


def test_boxes_and_cameras() -> None:
    scene = Scene((Shape("square", "blue", 0.5, 0.5, 0.1),), camera=Camera(x=0.3, zoom=1.5))
    drawn = render([scene], 64)
    assert read(drawn.images[0]).shapes[0].box == drawn.boxes(0)[0]
    assert agreement(drawn.images, [scene]).means()["all"] == 1


def test_wrong_pictures_are_refused() -> None:
    with pytest.raises(UsageError, match="scenes: 1 for 2"):
        agreement(np.zeros((2, 8, 8, 3), np.uint8), [Scene(())])
    with pytest.raises(UsageError, match="uint8"):
        read(np.zeros((8, 8, 3)))
