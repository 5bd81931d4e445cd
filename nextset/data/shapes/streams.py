"""What the world's data sets have in common: numbered items in splits whose streams are unrelated, many made at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from ...errors import UsageError
from ...noise import mix
from ..batch import Stack
from .world import DEFAULT, World

COUNTS = {"train": 50_000, "test": 2_000}
SIDE, LEAST_SIDE = 32, 16  # pixels: unless somebody says otherwise, and at least

Key = tuple[int, int]  # a stream and a number in it


class Streams(ABC):
    """Items of one kind, pictures `size` pixels wide and high; "train" has 50,000, "test" 2,000, unless `count` says otherwise.

    "all" is one after the other. Item i is the same at every asking, in any company. Raises UsageError for other splits and sizes.
    """

    kind = ""  # names it, beside the world
    classes: tuple[str, ...] = ()

    def __init__(
        self, split: str = "train", size: int = SIDE, count: int | None = None, world: World = DEFAULT
    ) -> None:
        if split not in (*COUNTS, "all"):
            raise UsageError(f"split must be one of {', '.join(COUNTS)}, all; got {split!r}")
        if size < LEAST_SIDE or (count is not None and count < 1):
            raise UsageError(f"shapes need size >= {LEAST_SIDE} and count >= 1, got {size=}, {count=}")
        parts = COUNTS if split == "all" else {split: COUNTS[split]}
        self._ends = {part: length if count is None else count for part, length in parts.items()}
        other = f"({world})" if world != DEFAULT else ""
        self.name = f"shapes{self.kind and '-' + self.kind}{'' if size == SIDE else f'-{size}'}{other}:{split}"
        self.size, self.world = size, world

    def __len__(self) -> int:
        return sum(self._ends.values())

    @abstractmethod
    def stack(self, index: np.ndarray) -> Stack:
        """The items `index` (B,). Raises IndexError beyond the end."""

    def keys(self, index: np.ndarray | Sequence[int]) -> list[Key]:
        """Where each item comes from, as `sample`, `edit`, `clip`, ... take it."""
        streams = [(mix("split", part), length) for part, length in self._ends.items()]
        return [self._key(int(i), streams) for i in index]

    def _key(self, index: int, streams: list[tuple[int, int]]) -> Key:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        (stream, length), *rest = streams
        return (stream, index) if index < length else (rest[0][0], index - length)
