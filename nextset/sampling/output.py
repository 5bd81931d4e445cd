"""Where the pictures of a job go: a folder of PNG files, one grid, or the `.npz` that ADM's evaluator reads.

The job is recorded beside the pictures, so that only the same job goes on with them. Any number of processes may write to one
output: nothing is locked, and putting parts together twice gives the same file. Legend: B, C, H, W as everywhere.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.crop import to_float
from ..errors import NextsetError, UsageError
from ..evaluate.samples import save_folder, save_grid, to_uint8
from ..files import save_json, write_atomically
from .job import Job
from .parts import Parts, gaps

LARGEST_GRID = 1024
MOST_COLUMNS = 32
RECORD = "job.json"


class Output(ABC):
    """An output at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    @abstractmethod
    def record(self) -> Path:
        """The file that holds the job."""

    @abstractmethod
    def missing(self, job: Job) -> list[int]:
        """The pictures that are not there yet."""

    @abstractmethod
    def write(self, job: Job, first: int, images: Tensor) -> None:
        """Keeps pictures (B, C, H, W) in [-1, 1], the first of which has the number `first`."""

    @abstractmethod
    def finish(self, job: Job) -> int:
        """Makes the output whole if no picture is missing; returns how many are. Any number of processes may do so at once."""

    def check(self, count: int) -> None:
        """Raises UsageError where `count` pictures cannot go here, before any of them is drawn."""
        check_writable(self.path)

    def begin(self, job: Job) -> None:
        """Records the job. Raises UsageError where the output is that of another one, naming what differs."""
        self.check(job.count)
        begun = self._begun()  # before the record is looked for: another process writes that first
        found = read_job(self.record)
        if found is None and begun:
            raise UsageError(
                f"{self.path} was begun, and nothing says how it was drawn; remove {self._all} or choose another --out"
            )
        if found is None:
            save_json(self.record, job.to_dict())
        elif found != job:
            differing = "; ".join(f"{name} was {_short(a)}, is {_short(b)}" for name, a, b in found.diff(job))
            raise UsageError(
                f"{self.path} was drawn with other settings ({differing}); repeat those, choose another --out, "
                f"or remove {self._all}"
            )

    @abstractmethod
    def _begun(self) -> bool:
        """Whether anything is there."""

    @property
    @abstractmethod
    def _all(self) -> str:
        """Everything that belongs to it, for messages."""


class Folder(Output):
    """`<number>.png`, in sub-folders by class where the job has classes, as `load_samples` reads them."""

    @property
    def record(self) -> Path:
        """Inside the folder."""
        return self.path / RECORD

    def missing(self, job: Job) -> list[int]:
        """Numbers without a file."""
        there = {str(path.relative_to(self.path)) for path in self.path.rglob("*.png")}
        return [i for i in range(job.count) if str(_place(job.label(i), i)) not in there]

    def write(self, job: Job, first: int, images: Tensor) -> None:
        """One file a picture."""
        save_folder(images, self.path, job.labels(range(first, first + len(images))), first)

    def finish(self, job: Job) -> int:
        """Nothing is left to do when all files are there."""
        return len(self.missing(job))

    def _begun(self) -> bool:
        return self.path.is_dir() and any(not p.name.startswith(".") for p in self.path.iterdir())

    @property
    def _all(self) -> str:
        return str(self.path)


class _File(Output):
    """One file, put together from `<path>.parts/` when all pictures are there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.parts = Parts(path.with_name(f"{path.name}.parts"))

    @property
    def record(self) -> Path:
        """`<path>.json`."""
        return self.path.with_name(f"{self.path.name}.json")

    def missing(self, job: Job) -> list[int]:
        """None once the file is there, else what the parts lack."""
        spans = self.parts.spans()
        # looked for after the parts: whoever puts them together renames the file first and then removes them
        return [] if self.path.exists() else gaps(spans, job.count)

    def write(self, job: Job, first: int, images: Tensor) -> None:
        """One part."""
        self.parts.write(first, to_uint8(images).cpu().numpy())

    def finish(self, job: Job) -> int:
        """Writes the file from the parts, then removes these."""
        missing = self.missing(job)
        if missing:
            return len(missing)
        if not self.path.exists():
            try:
                self._assemble(job)
            except (NextsetError, OSError):
                if not self.path.exists():  # else another process was faster and has removed the parts
                    raise
        self.parts.remove()
        return 0

    def _begun(self) -> bool:
        return self.path.exists() or bool(self.parts.spans())

    @property
    def _all(self) -> str:
        return f"{self.path}, {self.parts.folder.name} and {self.record.name}"

    @abstractmethod
    def _assemble(self, job: Job) -> None: ...


class Npz(_File):
    """`arr_0` uint8 (N, H, W, C) and `arr_1` labels, byte for byte as `save_npz` writes them, but one part in memory at a time."""

    def _assemble(self, job: Job) -> None:
        write_atomically(self.path, lambda temporary: self._write(temporary, job))

    def _write(self, temporary: Path, job: Job) -> None:
        labels = job.labels(range(job.count))
        with zipfile.ZipFile(temporary, "w") as archive:
            with archive.open("arr_0.npy", "w", force_zip64=True) as file:
                for start, pixels in _numbered(self.parts.read()):
                    if start == 0:
                        shape = (job.count, *pixels.shape[1:])
                        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                        np.lib.format.write_array_header_1_0(file, header)
                    file.write(pixels.tobytes())
            if labels is not None:
                with archive.open("arr_1.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, labels.numpy())


class Grid(_File):
    """One PNG with all pictures, a column a class where there are a few of them."""

    def check(self, count: int) -> None:
        """Also limits the size of the grid."""
        super().check(count)
        if count > LARGEST_GRID:
            raise UsageError(
                f"{self.path}: a grid shows at most {LARGEST_GRID} pictures; write {count} to a folder or .npz"
            )

    def _assemble(self, job: Job) -> None:
        images = torch.cat([to_float(pixels) for pixels in self.parts.read()])
        save_grid(images, self.path, len(job.classes) if 1 < len(job.classes) <= MOST_COLUMNS else None)


def output(path: Path) -> Output:
    """The output that a path names: `X.png` a grid, `X.npz`, or a folder. Raises UsageError for another ending."""
    kinds: dict[str, type[Output]] = {".png": Grid, ".npz": Npz}
    kind = kinds.get(path.suffix.lower(), Folder)
    if kind is Folder and re.fullmatch(r"\.[A-Za-z]\w*", path.suffix) and not path.is_dir():
        raise UsageError(
            f"out: {path} ends in {path.suffix}; give a .png (one grid), an .npz, or a folder, without ending"
        )
    if path.is_dir() != (kind is Folder) and path.exists():
        raise UsageError(f"out: {path} is {'a folder' if path.is_dir() else 'a file'} already; choose another name")
    return kind(path)


def recorded(path: Path) -> Job | None:
    """The job that drew the pictures in `path`, where it is known."""
    return read_job((Folder if path.is_dir() else Npz)(path).record)


def read_job(path: Path) -> Job | None:
    """The job in a record, None where there is no such file. Raises NextsetError where it cannot be read."""
    try:
        data: Any = json.loads(path.read_text())
        return Job.from_dict(data)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise NextsetError(f"{path} cannot be read ({error}); remove it together with the pictures") from error


def check_writable(path: Path) -> None:
    """Raises UsageError where no file or folder can be made at `path`."""
    place = path
    while not place.exists():
        place = place.parent
    if not place.is_dir() and place != path:
        raise UsageError(f"{path} cannot be written: {place} is a file; choose another place")
    folder = place if place.is_dir() else place.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{path} cannot be written: there is no permission to write in {folder}; choose another place")


def _place(label: int | None, index: int) -> Path:
    return Path("" if label is None else str(label)) / f"{index:06d}.png"


def _numbered(parts: Iterator[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    start = 0
    for pixels in parts:
        yield start, pixels
        start += len(pixels)


def _short(value: Any, most: int = 60) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}..."
