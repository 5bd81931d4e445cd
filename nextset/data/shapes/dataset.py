"""The world as a data set: pictures made when asked for, the same ones at every asking."""

from __future__ import annotations

import numpy as np

from ...errors import UsageError
from ...noise import mix
from ..base import Dataset, Item
from ..batch import Stack
from .render import render
from .sample import CLASSES, Sample, sample

COUNTS = {"train": 50_000, "test": 2_000}


class Shapes(Dataset):
    """RGB pictures (size, size, 3) with captions and 36 classes (kind and colour of the largest shape).

    "train" has 50,000 items, "test" 2,000, unless `count` says otherwise; "all" is one after the other. The streams of the two
    are unrelated. `most` (1 to 3) limits the shapes of a scene.
    """

    def __init__(self, split: str = "train", size: int = 32, count: int | None = None, most: int = 3) -> None:
        if split not in (*COUNTS, "all"):
            raise UsageError(f"split must be one of {', '.join(COUNTS)}, all; got {split!r}")
        if size < 16 or most not in (1, 2, 3) or (count is not None and count < 1):
            raise UsageError(f"shapes need size >= 16, most 1 to 3 and count >= 1, got {size=}, {most=}, {count=}")
        parts = COUNTS if split == "all" else {split: COUNTS[split]}
        self._ends = {part: length if count is None else count for part, length in parts.items()}
        self.name = f"shapes{'' if size == 32 else f'-{size}'}:{split}"
        self.classes = CLASSES
        self.shape = (size, size, 3)
        self.most = most

    def __len__(self) -> int:
        return sum(self._ends.values())

    def __getitem__(self, index: int) -> Item:
        """Item `index`."""
        stack = self.stack(np.array([index]))
        return Item(stack.images[0], int(stack.labels[0]), stack.captions[0])

    def stack(self, index: np.ndarray) -> Stack:
        """The items `index` (B,)."""
        samples = [self.sample(int(i)) for i in index]
        images = render([s.scene for s in samples], self.shape[0]).images
        return Stack(images, np.array([s.label for s in samples], dtype=np.int64), [s.caption for s in samples])

    def sample(self, index: int) -> Sample:
        """Scene, prompt, caption and label of item `index`. Raises IndexError beyond the end."""
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        for part, length in self._ends.items():
            if index < length:
                return sample(mix("split", part), index, self.most)
            index -= length
        raise AssertionError("unreachable: the length is the sum of the parts")
