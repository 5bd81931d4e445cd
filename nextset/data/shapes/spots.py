"""Which pixels the shapes of many scenes cover: only the window around each shape is looked at.

Legend: R shapes of all scenes, W side of a window, n covered pixels, S side of a picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .outline import distance
from .scene import COLOURS, KINDS, REACH, TEXTURES, Camera, Scene

PLAIN = Camera()
MARGIN = 2.0  # pixels: corners are drawn up to 1.4 pixels beyond the point, where the field's lines half a pixel outside meet
STEP = 4  # windows grow by so many pixels, so that those of one kind are few different arrays
_KIND, _TEXTURE = ({name: i for i, name in enumerate(names)} for names in (KINDS, TEXTURES))
_INK = np.array(list(COLOURS.values()), dtype=np.float32)
_COLOUR = {name: i for i, name in enumerate(COLOURS)}
_REACH = np.array([REACH[kind] for kind in KINDS])


@dataclass(frozen=True)
class Table:
    """The shapes of several scenes as their cameras see them, each array (R,) unless said.

    `scene` and `place` (in its scene) say which it is; `layer` counts the shapes of its scene that are farther; `kind`, `colour` and
    `texture` are places in KINDS, COLOURS and TEXTURES; `at` float32 (R, 4): x, y, size, angle.
    """

    scene: np.ndarray
    place: np.ndarray
    layer: np.ndarray
    kind: np.ndarray
    colour: np.ndarray
    texture: np.ndarray
    depth: np.ndarray
    at: np.ndarray

    @property
    def inks(self) -> np.ndarray:
        """RGB of each shape, float32 (R, 3)."""
        return _INK[self.colour]


@dataclass(frozen=True)
class Spots:
    """Covered pixels, each array (n,): number `at` in the batch (b S S + y S + x), row in the table, share in (0, 1].

    `x` and `y` are the pixel in the frame of its shape, upright and of size 1; empty unless asked for.
    """

    at: np.ndarray
    row: np.ndarray
    share: np.ndarray
    x: np.ndarray
    y: np.ndarray


def tabulated(scenes: Sequence[Scene]) -> Table:
    """The shapes of all scenes."""
    rows = [
        (b, i, layer, _KIND[s.kind], _COLOUR[s.colour], _TEXTURE[s.texture], s.depth, s.x, s.y, s.size, s.angle)
        for b, scene in enumerate(scenes)
        for layer, i in enumerate(scene.drawing_order())
        for s in (scene.shapes[i] if scene.camera == PLAIN else scene.camera.sees(scene.shapes[i]),)
    ]
    values = np.array(rows, dtype=np.float64).reshape(-1, 11)
    values[:, 10] %= math.tau
    scene, place, layer, kind, colour, texture = values[:, :6].astype(np.intp).T
    return Table(
        scene, place, layer, kind, colour, texture, values[:, 6].astype(np.float32), values[:, 7:].astype(np.float32)
    )


def local(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (x, y) of the picture in the frames of shapes `at` (R, 4): x is (R, 1, W), y (R, W, 1), the results (R, W, W)."""
    left, top, size, angle = (column[:, None, None] for column in at.T)
    right, down = x - left, y - top
    cos, sin = np.cos(angle) / size, np.sin(angle) / size
    return cos * right + sin * down, cos * down - sin * right


def shares(kind: str, x: np.ndarray, y: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Share of each pixel that a shape covers, from the pixel in the shape's frame; the shape's size is `pixels`."""
    return np.clip(0.5 - distance(kind, x, y) * pixels, 0, 1)


def covered(table: Table, side: int, frames: bool = False) -> Spots:
    """The pixels that the shapes of the table cover in pictures of `side`; with their x and y in each shape if `frames`."""
    parts = list(_windows(table, side, frames))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.empty(0, np.intp)] * 5
    return Spots(*joined)


def _windows(table: Table, side: int, frames: bool) -> Iterator[tuple[np.ndarray, ...]]:
    """The spots of the shapes of one kind whose windows are equally large, one after the other."""
    half = table.at[:, 2] * _REACH[table.kind] * side + MARGIN
    widths = np.minimum(np.ceil((2 * half + 1) / STEP).astype(np.intp) * STEP, side)
    corners = np.floor(table.at[:, :2] * side - half[:, None]).astype(np.intp).clip(0, (side - widths)[:, None])
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    for number, kind in enumerate(KINDS):
        alike = np.flatnonzero(table.kind == number)
        for width in np.unique(widths[alike]):
            rows = alike[widths[alike] == width]
            xs, ys = (corners[rows, axis, None] + np.arange(width) for axis in (0, 1))
            at = table.at[rows]
            x, y = local(at, centres[xs][:, None, :], centres[ys][:, :, None])
            share = shares(kind, x, y, at[:, 2, None, None] * side).reshape(-1)
            pixels = (table.scene[rows, None] * side + ys)[:, :, None] * side + xs[:, None, :]
            here = np.flatnonzero(share)
            inside = [v.reshape(-1)[here] if frames else np.empty(0, np.float32) for v in (x, y)]
            yield pixels.reshape(-1)[here], rows[here // (width * width)], share[here], *inside
