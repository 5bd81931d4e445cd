"""What every data set promises: random access to labelled pictures, so that shuffling and resuming are exact.

Pictures are uint8 arrays (H, W, C) with C = 1 (grey) or 3 (RGB), as stored; cropping, scaling and batching happen in `loader`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Item:
    """One sample: uint8 image (H, W, C), class index (-1: none), caption ("": none)."""

    image: np.ndarray
    label: int = -1
    caption: str = ""


class Dataset(ABC):
    """A finite, ordered collection of items."""

    name: str  # names the data and the split in logs and protocols: "digits:test", "my_photos:train"
    classes: tuple[str, ...] = ()  # class names by label, empty where there are none

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Item:
        """Item `index` in [0, len). Raises NextsetError naming the file where it cannot be read."""
