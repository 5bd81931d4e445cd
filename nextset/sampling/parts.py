"""Pictures on their way into one file: a folder of parts, each whole or not there.

Part `000032-000064.npy` holds pictures 32..63 as uint8 (B, H, W, C).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import NextsetError
from ..files import write_stream


class Parts:
    """The parts in `folder`, which need not exist. They may overlap, where two processes drew the same pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def spans(self) -> list[tuple[int, int]]:
        """(first, end) of every part, in order."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        matches = (re.fullmatch(r"(\d+)-(\d+)\.npy", name) for name in names)
        return sorted((int(m[1]), int(m[2])) for m in matches if m)

    def write(self, first: int, pixels: np.ndarray) -> None:
        """Adds pictures (B, H, W, C), the first of which has the number `first`."""
        write_stream(self._path(first, first + len(pixels)), lambda file: np.save(file, pixels))

    def read(self) -> Iterator[np.ndarray]:
        """The pictures in order, part by part, each once. Raises NextsetError naming a part that is damaged."""
        at = 0
        for first, end in self.spans():
            if end > at:
                yield self._load(first, end)[at - first :]
                at = end

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, first: int, end: int) -> Path:
        return self.folder / f"{first:06d}-{end:06d}.npy"

    def _load(self, first: int, end: int) -> np.ndarray:
        path = self._path(first, end)
        try:
            pixels = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise NextsetError(f"{path} is damaged ({error}); remove it and run the same command again") from error
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or len(pixels) != end - first:
            raise NextsetError(f"{path} is damaged: it holds {pixels.dtype} {pixels.shape}; remove it and run again")
        return pixels


def gaps(spans: list[tuple[int, int]], count: int) -> list[int]:
    """Numbers in 0..count-1 that no span covers."""
    known = np.zeros(count, dtype=bool)
    for first, end in spans:
        known[first:end] = True
    return np.flatnonzero(~known).tolist()
