"""Handwritten digits: the real 8x8 pictures that scikit-learn carries (Alpaydin and Kaynak 1998, UCI optdigits test set).

1,797 pictures of 17 grey levels on a fixed stratified split: the embedded default, and the exact-likelihood benchmark.
"""

from __future__ import annotations

import functools

import numpy as np

from ..errors import UsageError
from .base import Dataset, Item
from .batch import Stack

HELD_OUT = 360
LEVELS = 16  # the brightest of the 17 grey levels
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Digits(Dataset):
    """Grey pictures (8, 8, 1) of "train" (1,437), "test" (360) or "all"; level l of 0..16 is stored as round(255 l / 16)."""

    shape = (8, 8, 1)

    def __init__(self, split: str = "train") -> None:
        levels, targets = _everything()
        chosen = _indices(split)
        images = np.rint(levels[chosen] * (255 / LEVELS)).astype(np.uint8)[..., None]
        self.name = f"digits:{split}"
        self.classes = tuple(str(digit) for digit in range(10))
        labels = targets[chosen].astype(np.int64)
        self._all = Stack(images, labels, [f"a handwritten {WORDS[label]}" for label in labels])

    def __len__(self) -> int:
        return len(self._all.labels)

    def __getitem__(self, index: int) -> Item:
        """Item `index`, with its digit as label and in words as caption."""
        return Item(self._all.images[index], int(self._all.labels[index]), self._all.captions[index])

    def stack(self, index: np.ndarray) -> Stack:
        """The items `index` (B,)."""
        captions = [self._all.captions[i] for i in index]
        return Stack(self._all.images[index], self._all.labels[index], captions)


@functools.cache
def _everything() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images, data.target


@functools.cache
def _indices(split: str) -> np.ndarray:
    from sklearn.model_selection import train_test_split

    targets = _everything()[1]
    train, test = train_test_split(np.arange(len(targets)), test_size=HELD_OUT, stratify=targets, random_state=0)
    parts = {"train": np.sort(train), "test": np.sort(test), "all": np.arange(len(targets))}
    if split not in parts:
        raise UsageError(f"split must be one of {', '.join(parts)}, got {split!r}")
    return parts[split]
