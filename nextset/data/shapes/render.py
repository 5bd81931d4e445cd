"""Scenes to pictures, with everything known about each pixel.

Edges are antialiased from signed distances: a pixel's share is 1/2 - distance, clipped to [0, 1]. Legend: B scenes, S side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .outline import distance
from .scene import COLOURS, KINDS, Scene, Shape


@dataclass(frozen=True)
class Rendered:
    """Pictures and their ground truth.

    `images` uint8 (B, S, S, 3); `instances` uint8 (B, S, S), 0 for the background, else 1 + the shape's place in its scene;
    `kinds` uint8 (B, S, S), 0, else 1 + the kind's place in KINDS; `depths` float32 (B, S, S), 1 for the background.
    """

    images: np.ndarray
    instances: np.ndarray
    kinds: np.ndarray
    depths: np.ndarray

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


def render(scenes: Sequence[Scene], side: int) -> Rendered:
    """The pictures of all scenes, `side` pixels wide and high."""
    background = np.array([scene.background for scene in scenes], dtype=np.float32).reshape(-1, 1, 1, 3)
    images = np.tile(background, (1, side, side, 1))
    found = Rendered(
        images,
        np.zeros((len(scenes), side, side), dtype=np.uint8),
        np.zeros((len(scenes), side, side), dtype=np.uint8),
        np.ones((len(scenes), side, side), dtype=np.float32),
    )
    orders = [scene.drawing_order() for scene in scenes]
    for layer in range(max(map(len, orders), default=0)):
        for kind in KINDS:
            places = [(b, order[layer]) for b, order in enumerate(orders) if layer < len(order)]
            _draw(
                found, [(b, i, s) for b, i in places if (s := scenes[b].camera.sees(scenes[b].shapes[i])).kind == kind]
            )
    return Rendered(np.rint(images).astype(np.uint8), found.instances, found.kinds, found.depths)


def coverage(kind: str, placed: np.ndarray, side: int) -> np.ndarray:
    """Each pixel's share covered by shapes of one kind at `placed` (n, 4): x, y, size, angle. Returns float32 (n, S, S)."""
    x, y, size, angle = (column[:, None, None] for column in placed.astype(np.float32).T)
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    right, down = centres[None, None, :] - x, centres[None, :, None] - y
    cos, sin = np.cos(angle) / size, np.sin(angle) / size
    outline = distance(kind, cos * right + sin * down, cos * down - sin * right)
    return np.clip(0.5 - outline * (size * side), 0, 1)


def _draw(found: Rendered, drawn: list[tuple[int, int, Shape]]) -> None:
    """Puts shapes of one kind, at most one a scene, on top."""
    if not drawn:
        return
    scenes = np.array([b for b, _, _ in drawn])
    kind = drawn[0][2].kind
    placed = np.array([(s.x, s.y, s.size, s.angle % math.tau) for _, _, s in drawn])
    share = coverage(kind, placed, found.images.shape[1])
    colours = np.array([COLOURS[s.colour] for _, _, s in drawn], dtype=np.float32)[:, None, None]
    images = found.images[scenes]
    found.images[scenes] = images + (colours - images) * share[..., None]
    row, y, x = np.nonzero(share >= 0.5)
    found.instances[scenes[row], y, x] = np.array([i + 1 for _, i, _ in drawn])[row]
    found.kinds[scenes[row], y, x] = KINDS.index(kind) + 1
    found.depths[scenes[row], y, x] = np.array([s.depth for _, _, s in drawn])[row]
