"""The grader's own accuracy: what it reads against the scenes that were rendered, attribute by attribute. Legend: B pictures, S side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ....errors import UsageError
from ..render import Rendered, render
from ..scene import Scene, Shape
from ..world import size_word
from .match import distances, in_picture, pairs
from .read import LEAST_AREA, Found, Reading, read_all

ATTRIBUTES = ("count", "kind", "colour", "size", "position", "box", "background", "word", "all")
REACH = 0.15  # farther apart, in sides of the picture, a read shape is no reading of a true one
NEAR = 1 / 32  # a position, and each side of a box, is right within this
SHADE = 4  # a background is right within so many of 255 levels
CHUNK = 256


@dataclass(frozen=True)
class Agreement:
    """Right (1) or wrong (0) for each picture, float (B,) each: an attribute is right if it is so for every shape of the scene.

    `count`: as many shapes; `kind`, `colour`, `size` (small or large), `position` and `box` (each side of it) within 1/32 of the
    picture's side: those of every true shape; `background`: within 4 of 255; `word`: letter by letter, none where there is none;
    `all`: everything. Shapes of which too little is seen to be told from a speck (3% of a small one's square) are not asked for.
    """

    count: np.ndarray
    kind: np.ndarray
    colour: np.ndarray
    size: np.ndarray
    position: np.ndarray
    box: np.ndarray
    background: np.ndarray
    word: np.ndarray
    all: np.ndarray

    def means(self) -> dict[str, float]:
        """The share of pictures that are right, by attribute."""
        return {name: float(getattr(self, name).mean()) for name in ATTRIBUTES}


def agreement(images: np.ndarray | Tensor, scenes: Sequence[Scene]) -> Agreement:
    """Reads pictures, uint8 (B, S, S, 3) or float (B, 3, S, S) in [-1, 1], and compares with their scenes (B)."""
    check_scenes(images, scenes)
    rows = []
    for at in range(0, len(scenes), CHUNK):
        chosen = slice(at, at + CHUNK)
        truth = render(scenes[chosen], images.shape[2])
        for i, (reading, scene) in enumerate(zip(read_all(images[chosen]), scenes[chosen], strict=True)):
            rows.append(_compared(reading, scene, truth, i))
    columns = np.array(rows, dtype=np.float64).reshape(-1, len(ATTRIBUTES)).T
    return Agreement(**dict(zip(ATTRIBUTES, columns, strict=True)))


def check_scenes(images: np.ndarray | Tensor, scenes: Sequence[Scene]) -> None:
    """Raises UsageError unless there is one scene for each picture."""
    if len(images) != len(scenes):
        raise UsageError(f"scenes: {len(scenes)} for {len(images)} images; give one an image")


def visible(truth: Rendered, picture: int, count: int) -> np.ndarray:
    """Which of the `count` shapes of a picture show enough to be read, bool (count,)."""
    areas = np.bincount(truth.instances[picture].ravel(), minlength=count + 1)[1 : count + 1]
    return np.asarray(areas >= LEAST_AREA * truth.instances[picture].size)


def _compared(reading: Reading, scene: Scene, truth: Rendered, picture: int) -> list[bool]:
    side, shown = truth.instances.shape[1], visible(truth, picture, len(scene.shapes))
    boxes = truth.boxes(picture)
    true = [(shape, boxes[i]) for i, shape in enumerate(in_picture(scene)) if shown[i]]
    costs = distances(reading.shapes, [shape for shape, _ in true])
    both = [(reading.shapes[f], *true[t]) for f, t in pairs(costs, REACH)]
    found = len(both) == len(true)
    rights = [
        len(reading.shapes) == len(true),
        found and all(f.kind == s.kind for f, s, _ in both),
        found and all(f.colour == s.colour for f, s, _ in both),
        found and all(f.size_word == size_word(s.size) for f, s, _ in both),
        found and all(_apart(f, s) <= NEAR for f, s, _ in both),
        found and all(np.abs(np.subtract(f.box, box)).max() <= NEAR * side for f, _, box in both),
        bool(np.abs(np.subtract(reading.background, scene.background)).max() <= SHADE),
        (reading.word.text if reading.word else "") == "".join(word.text for word in scene.words),
    ]
    return [*rights, all(rights)]


def _apart(found: Found, shape: Shape) -> float:
    return float(np.hypot(found.x - shape.x, found.y - shape.y))
