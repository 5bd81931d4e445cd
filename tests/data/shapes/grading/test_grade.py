from __future__ import annotations

import numpy as np
import pytest
import torch

from nextset.data.crop import to_float
from nextset.data.shapes import Scene, Shape, Shapes, grade, read
from nextset.data.shapes.grading.grade import ASPECTS
from nextset.data.shapes.grading.read import components
from nextset.data.shapes.render import render
from nextset.errors import UsageError

COUNT = 200


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur."""
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * sigma**2))
    for axis in (1, 2):
        places = [np.clip(np.arange(images.shape[axis]) + step, 0, images.shape[axis] - 1) for step in range(-3, 4)]
        images = sum(tap / taps.sum() * np.take(images, place, axis) for tap, place in zip(taps, places, strict=True))
    return images


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize(("noise", "blur"), [(0, 0.0), (8, 0.0), (16, 0.0), (8, 0.9)])
def test_true_captions_are_right(side: int, noise: int, blur: float) -> None:
    world = Shapes("test", side)
    stack = world.stack(np.arange(COUNT))
    images = stack.images.astype(np.float64)
    if blur:
        images = blurred(images, blur)
    images += np.random.default_rng(0).normal(0, 1, images.shape) * noise
    means = grade(images.clip(0, 255).round().astype(np.uint8), stack.captions).means()
    least = 0.99 if noise == 0 else 0.95
    assert all(means[aspect] >= least for aspect in ASPECTS if aspect != "word"), means  # no caption asks for one


def test_other_captions_are_wrong() -> None:
    stack = Shapes("test").stack(np.arange(COUNT))
    means = grade(stack.images, [*stack.captions[1:], stack.captions[0]]).means()
    assert means["all"] < 0.05
    assert means["kind"] < 0.2
    assert means["colour"] < 0.2
    assert means["count"] < 0.5


def scene(*shapes: Shape) -> np.ndarray:
    return render([Scene(shapes)], 64).images


RED, BLUE = Shape("circle", "red", 0.25, 0.5, 0.12), Shape("square", "blue", 0.7, 0.4, 0.19)


@pytest.mark.parametrize(
    ("caption", "wrong"),
    [
        ("a red circle left of a blue square", ""),
        ("a small red circle left of a large blue square", ""),
        ("a circle left of a square", ""),
        ("a blue square above a red circle", ""),
        ("a red circle right of a blue square", "relation all"),
        ("a blue circle left of a red square", "relation all"),  # colours and kinds are there, bound wrongly
        ("a large red circle left of a small blue square", "all"),
        ("a red circle left of a red square", "colour relation all"),
        ("a red circle left of a blue star", "kind relation all"),
        ("two red circles left of a blue square", "count colour kind relation all"),
        ("a blue square and a red circle", ""),
        ("a blue circle and a red square", "all"),
        ("a red circle and a large star", "kind all"),
        ("a red circle", "count all"),
        ("a large red circle", "count all"),
        ("two large blue squares", "colour kind size all"),
    ],
)
def test_aspects_fail_one_by_one(caption: str, wrong: str) -> None:
    grades = grade(scene(RED, BLUE), [caption])
    assert {aspect for aspect in ASPECTS if getattr(grades, aspect)[0] == 0} == set(wrong.split())


def test_readings_are_scenes() -> None:
    shapes = (RED, BLUE, Shape("star", "white", 0.3, 0.82, 0.12, angle=0.2))
    reading = read(scene(*shapes)[0])
    assert reading.background == Scene(()).background
    assert len(reading.shapes) == 3
    for true in shapes:
        found = min(reading.shapes, key=lambda f: abs(f.x - true.x) + abs(f.y - true.y))
        assert (found.kind, found.colour) == (true.kind, true.colour)
        assert (found.x, found.y) == pytest.approx((true.x, true.y), abs=0.005)  # a third of a pixel
        assert found.size == pytest.approx(true.size, rel=0.03)


def test_floats_and_bytes_read_alike() -> None:
    stack = Shapes("test").stack(np.arange(20))
    left, right = grade(stack.images, stack.captions), grade(to_float(stack.images), stack.captions)
    assert left.means() == pytest.approx(right.means(), nan_ok=True)
    assert read(to_float(stack.images)[0]).shapes[0].kind == read(stack.images[0]).shapes[0].kind


def test_pictures_of_nothing_are_wrong() -> None:
    rng = np.random.default_rng(0)
    for images in (np.full((4, 32, 32, 3), 20, np.uint8), rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)):
        assert grade(images, ["a red circle"] * 4).means()["all"] == 0


def test_regions_are_connected_by_sides() -> None:
    values = np.array([[[1, 1, 0, 2], [0, 1, 2, 2], [3, 0, 1, 0], [3, 3, 0, 1]]])
    labels = components(values)[0]
    assert len(set(labels[labels > 0])) == 5  # the two ones at the lower right only touch by a corner
    assert labels[0, 0] == labels[1, 1]
    assert labels[0, 3] == labels[1, 2]
    assert (labels[values[0] == 0] == 0).all()


def test_wrong_pictures_and_counts_are_refused() -> None:
    with pytest.raises(UsageError, match="square RGB"):
        grade(torch.zeros(1, 1, 8, 8), ["a circle"])
    with pytest.raises(UsageError, match="captions: 1 for 2"):
        grade(torch.zeros(2, 3, 8, 8), ["a circle"])
    with pytest.raises(UsageError, match="not of this world"):
        grade(torch.zeros(1, 3, 8, 8), ["a cat"])
