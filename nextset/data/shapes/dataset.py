"""The world as data sets of single pictures, made when asked for: with captions and classes, and with the truth of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base import Dataset, Item
from ..batch import Stack
from .render import pictures, render
from .sample import CLASSES, Sample, samples
from .streams import Streams
from .world import DEFAULT, World


class Shapes(Streams, Dataset):
    """RGB pictures (size, size, 3) with captions and 36 classes (kind and colour of the largest shape).

    "train" has 50,000 items, "test" 2,000, unless `count` says otherwise; "all" is one after the other. The streams of the two
    are unrelated. `world` makes them easier or harder.
    """

    classes = CLASSES

    def __init__(self, split: str = "train", size: int = 32, count: int | None = None, world: World = DEFAULT) -> None:
        super().__init__(split, size, count, world)
        self.shape = (size, size, 3)

    def __getitem__(self, index: int) -> Item:
        """Item `index`."""
        stack = self.stack(np.array([index]))
        return Item(stack.images[0], int(stack.labels[0]), stack.captions[0])

    def stack(self, index: np.ndarray) -> Stack:
        """The items `index` (B,)."""
        found = samples(self.keys(index), self.world)
        return Stack(pictures([s.scene for s in found], self.size), *_told(found))

    def sample(self, index: int) -> Sample:
        """Scene, prompt, caption and label of item `index`. Raises IndexError beyond the end."""
        return samples(self.keys([index]), self.world)[0]


@dataclass(frozen=True)
class TruthStack(Stack):
    """Pictures (B, S, S, 3) and what each pixel shows: the fields of `Rendered` under its names.

    `edges` bool (B, S, S); `boxes` int64 (B, N, 4): left, top, right, bottom (the last two exclusive) of what is visible of each
    shape and word, by its number in `instances` less one; zeros where nothing is visible, or a scene has fewer.
    """

    instances: np.ndarray
    kinds: np.ndarray
    depths: np.ndarray
    normals: np.ndarray
    edges: np.ndarray
    boxes: np.ndarray


class Truths(Shapes):
    """The items of `Shapes`, the same ones, with their truth."""

    def stack(self, index: np.ndarray) -> TruthStack:
        """The items `index` (B,)."""
        found = samples(self.keys(index), self.world)
        seen = render([s.scene for s in found], self.size)
        most = max((len(s.scene.shapes) + len(s.scene.words) for s in found), default=0)
        boxes = np.zeros((len(found), most, 4), dtype=np.int64)
        for b in range(len(found)):
            for place, box in seen.boxes(b).items():
                boxes[b, place] = box
        arrays = (seen.instances, seen.kinds, seen.depths, seen.normals, seen.edges(), boxes)
        return TruthStack(seen.images, *_told(found), *arrays)


def _told(found: list[Sample]) -> tuple[np.ndarray, list[str]]:
    return np.array([s.label for s in found], dtype=np.int64), [s.caption for s in found]
