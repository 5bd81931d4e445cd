"""Scenes to pictures, with everything known about each pixel.

Edges are antialiased from signed distances: a pixel's share is 1/2 - distance, clipped to [0, 1]. Legend: B scenes, S side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .glyphs import written
from .relief import FACING, slopes
from .scene import COLOURS, KINDS, Scene
from .spots import Spots, Table, covered, local, shares, tabulated
from .texture import tones

CHUNK = 1 << 18  # pixels painted together: what is worked on stays in a core's cache
WORD = len(KINDS) + 1  # the kind of words in `Rendered.kinds`


@dataclass(frozen=True)
class Rendered:
    """Pictures and their ground truth.

    `images` uint8 (B, S, S, 3); `instances` uint8 (B, S, S), 0 for the background, else 1 + the shape's place in its scene, words
    after the shapes; `kinds` uint8 (B, S, S), 0, else 1 + the kind's place in KINDS, or WORD; `depths` float32 (B, S, S), 1 for
    the background, 0 for words. `normals` float32 (B, S, S, 3) are unit vectors x right, y down, z towards who looks: each shape is
    a plate with a rounded edge (`relief`), all else faces the camera.
    """

    images: np.ndarray
    instances: np.ndarray
    kinds: np.ndarray
    depths: np.ndarray
    normals: np.ndarray

    def edges(self) -> np.ndarray:
        """Pixels whose right or lower neighbour shows something else, bool (B, S, S)."""
        found = np.zeros(self.instances.shape, dtype=bool)
        found[:, :, :-1] |= self.instances[:, :, :-1] != self.instances[:, :, 1:]
        found[:, :-1] |= self.instances[:, :-1] != self.instances[:, 1:]
        return found

    def boxes(self, scene: int) -> dict[int, tuple[int, int, int, int]]:
        """Boxes (left, top, right, bottom; the last two exclusive) of what is visible of each shape of a scene, by its place."""
        mask = self.instances[scene]
        places = {int(i) - 1: np.nonzero(mask == i) for i in np.unique(mask[mask > 0])}
        return {i: (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1) for i, (y, x) in places.items()}


def pictures(scenes: Sequence[Scene], side: int) -> np.ndarray:
    """The pictures alone, uint8 (B, S, S, 3), `side` pixels wide and high."""
    images = np.empty((len(scenes), side, side, 3), dtype=np.uint8)
    for part in _chunks(len(scenes), side):
        table = tabulated(scenes[part])
        images[part] = _painted(scenes[part], table, covered(table, side, bool(table.texture.any())), side)
    return images


def render(scenes: Sequence[Scene], side: int) -> Rendered:
    """The pictures of all scenes, `side` pixels wide and high, and their truth."""
    shape = (len(scenes), side, side)
    found = Rendered(
        np.empty((*shape, 3), dtype=np.uint8),
        np.zeros(shape, dtype=np.uint8),
        np.zeros(shape, dtype=np.uint8),
        np.ones(shape, dtype=np.float32),
        np.tile(FACING, (*shape, 1)),
    )
    for part in _chunks(len(scenes), side):
        table = tabulated(scenes[part])
        spots = covered(table, side, frames=True)
        found.images[part] = _painted(scenes[part], table, spots, side)
        _tell(found, part.start, table, spots)
        for b, scene in enumerate(scenes[part], part.start):
            _tell_words(found, b, scene, side)
    return found


def coverage(kind: str, placed: np.ndarray, side: int) -> np.ndarray:
    """Each pixel's share covered by shapes of one kind at `placed` (n, 4): x, y, size, angle. Returns float32 (n, S, S)."""
    at = placed.astype(np.float32)
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = local(at, centres[None, None, :], centres[None, :, None])
    return shares(kind, x, y, at[:, 2, None, None] * side)


def _chunks(count: int, side: int) -> list[slice]:
    step = max(CHUNK // side**2, 1)
    return [slice(at, min(at + step, count)) for at in range(0, count, step)]


def _backgrounds(scenes: Sequence[Scene], side: int) -> np.ndarray:
    """float32 (B, S, S, 3)."""
    top = np.array([scene.background for scene in scenes], dtype=np.float32).reshape(-1, 1, 1, 3)
    if all(scene.floor is None for scene in scenes):
        return np.tile(top, (1, side, side, 1))
    bottom = np.array([scene.floor or scene.background for scene in scenes], dtype=np.float32).reshape(-1, 1, 1, 3)
    down = ((np.arange(side, dtype=np.float32) + 0.5) / side).reshape(1, side, 1, 1)
    return np.tile(top + (bottom - top) * down, (1, 1, side, 1))


def _painted(scenes: Sequence[Scene], table: Table, spots: Spots, side: int) -> np.ndarray:
    """The pictures, from the farthest shapes to the nearest."""
    images = _backgrounds(scenes, side)
    flat, inks = images.reshape(-1, 3), table.inks
    layers = table.layer[spots.row]
    for layer in range(int(layers.max(initial=-1)) + 1):
        here = np.flatnonzero(layers == layer)
        at, row = spots.at[here], spots.row[here]
        ink = inks[row]
        if len(spots.x):
            pixel = 1 / (table.at[row, 2] * side)
            ink *= tones(table.texture[row], spots.x[here], spots.y[here], pixel)[:, None]
        below = flat[at]
        flat[at] = below + (ink - below) * spots.share[here, None]
    for b, scene in enumerate(scenes):
        for word in scene.words:
            share = written(word.text, word.x, word.y, word.height, side)[..., None]
            images[b] += (np.array(COLOURS[word.colour], dtype=np.float32) - images[b]) * share
    return np.rint(images).astype(np.uint8)


def _tell(found: Rendered, first: int, table: Table, spots: Spots) -> None:
    """Puts down what each pixel shows, of the scenes from number `first` on."""
    side = found.images.shape[1]
    solid = np.flatnonzero(spots.share >= 0.5)
    solid = solid[
        np.argsort(table.layer[spots.row[solid]], kind="stable")
    ]  # of two writes to a pixel the last one stays
    at, row = spots.at[solid] + first * side * side, spots.row[solid]
    found.instances.reshape(-1)[at] = table.place[row] + 1
    found.kinds.reshape(-1)[at] = table.kind[row] + 1
    found.depths.reshape(-1)[at] = table.depth[row]
    found.normals.reshape(-1, 3)[at] = slopes(table.kind[row], spots.x[solid], spots.y[solid], table.at[row, 3])


def _tell_words(found: Rendered, b: int, scene: Scene, side: int) -> None:
    for number, word in enumerate(scene.words, len(scene.shapes) + 1):
        here = written(word.text, word.x, word.y, word.height, side) >= 0.5
        found.instances[b][here], found.kinds[b][here], found.depths[b][here] = number, WORD, 0
        found.normals[b][here] = FACING
