"""How a picture is painted: a white canvas, the background, then shape after shape from back to front, words last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..batch import Stack
from .render import pictures, render
from .sample import CLASSES, samples
from .scene import Scene
from .streams import Streams

BLANK = 255


@dataclass(frozen=True)
class PaintingStack(Stack):
    """`images` uint8 (B, S, S, 3), and how they come about in K steps.

    `canvases` uint8 (B, K + 1, S, S, 3): blank, then after each step; the last is the image, repeated where a scene takes fewer
    steps than others. `lengths` int64 (B,) are the steps of each. `steps` uint8 (B, S, S): the step, from 1, that painted
    what is seen of a pixel (1 is the background). `strokes` bool (B, K, S, S): what each step paints, also where a later one hides it.
    """

    canvases: np.ndarray
    lengths: np.ndarray
    steps: np.ndarray
    strokes: np.ndarray


def stages(scene: Scene) -> list[Scene]:
    """The scene after each step: the background alone first, everything last."""
    order = scene.drawing_order()
    shapes = [replace(scene, shapes=tuple(scene.shapes[i] for i in order[:k]), words=()) for k in range(len(order) + 1)]
    words = [replace(shapes[-1], words=scene.words[:k]) for k in range(1, len(scene.words) + 1)]
    return [*shapes, *words]


def painted(scenes: Sequence[Scene], side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`canvases`, `lengths`, `steps` and `strokes` of a `PaintingStack`."""
    ways = [stages(scene) for scene in scenes]
    lengths = np.array([len(way) for way in ways], dtype=np.int64)
    most = int(lengths.max(initial=1))
    padded = [scene for way in ways for scene in (*way, *way[-1:] * (most - len(way)))]
    images = pictures(padded, side).reshape(len(scenes), most, side, side, 3)
    blank = np.full((len(scenes), 1, side, side, 3), BLANK, dtype=np.uint8)
    alone = [_newest(way, k) for way in ways for k in range(most)]
    strokes = render(alone, side).instances.reshape(len(scenes), most, side, side) > 0
    strokes[:, 0] = True
    numbers = np.arange(1, most + 1, dtype=np.uint8)[:, None, None]
    return np.concatenate([blank, images], axis=1), lengths, (strokes * numbers).max(1), strokes


def _newest(way: list[Scene], step: int) -> Scene:
    """What a step adds, alone."""
    if not 0 < step < len(way):
        return Scene(())
    before, after = way[step - 1], way[step]
    return replace(after, shapes=after.shapes[len(before.shapes) :], words=after.words[len(before.words) :])


class Paintings(Streams):
    """The items of `Shapes`, the same ones where the world is the same, with the way they are painted."""

    kind = "paintings"
    classes = CLASSES

    def stack(self, index: np.ndarray) -> PaintingStack:
        """The paintings `index` (B,)."""
        found = samples(self.keys(index), self.world)
        canvases, lengths, steps, strokes = painted([s.scene for s in found], self.size)
        labels = np.array([s.label for s in found], dtype=np.int64)
        return PaintingStack(canvases[:, -1], labels, [s.caption for s in found], canvases, lengths, steps, strokes)
