"""Pictures in files: records say where the bytes are, `Stored` reads them, `Splits` divides them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import NextsetError, UsageError
from .base import Dataset, Item
from .picture import opened, pixels

HELD_OUT = 0.05
HELD_OUT_NAMES = ("val", "valid", "validation", "test")  # of parts that are not trained on, the best first
SPLITS = ("train", "test", "all")


@dataclass(frozen=True, slots=True)
class Record:
    """One picture: `size` bytes from `offset` of the file `path` (-1: all of it), with class (-1: none) and caption.

    `key` is its name inside the data set, wherever that lies: "cats/1.jpg", or "shard.tar/1.jpg".
    """

    path: str
    key: str
    label: int | str = -1
    caption: str = ""
    offset: int = 0
    size: int = -1

    @property
    def where(self) -> str:
        """The file, for messages: that of a tar's member lies below the tar."""
        return self.path if self.size < 0 else str(Path(self.path).parent / self.key)

    def read(self) -> bytes:
        """The encoded picture. The file is opened anew, so any number of processes may read. Raises NextsetError."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise NextsetError(f"{self.where} cannot be read ({error.strerror}); restore it or remove it") from error
        if len(data) < self.size:
            raise NextsetError(f"{self.where} is cut short: {len(data)} of {self.size} bytes; copy {self.path} again")
        return data


class Stored(Dataset):
    """The pictures of `records`. A label is an index, or the name of a class."""

    def __init__(self, name: str, records: Sequence[Record], classes: tuple[str, ...]) -> None:
        self.name, self.records, self.classes = name, records, classes
        self._labels = {label: index for index, label in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Item:
        """Item `index`. Raises NextsetError naming the file, or the tar and its member."""
        record = self.records[index]
        return Item(pixels(opened(record.read(), record.where)), self.label(index), record.caption)

    def label(self, index: int) -> int:
        """The class of item `index`, -1 for none, without reading its picture."""
        label = self.records[index].label
        return self._labels[label] if isinstance(label, str) else label


@dataclass(frozen=True)
class Splits:
    """What a path holds, divided for training and testing, with the names of the classes and what decided the division."""

    name: str
    train: Sequence[Record]
    test: Sequence[Record]
    classes: tuple[str, ...]
    rule: str

    def dataset(self, split: str) -> Stored:
        """The pictures of "train", "test" or "all". Raises UsageError where there are none."""
        if split not in SPLITS:
            raise UsageError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        records = {"train": self.train, "test": self.test, "all": [*self.train, *self.test]}[split]
        if not records:
            raise UsageError(
                f"{self.name} holds {len(self.train)} pictures in all, too few to hold some out for {split!r}"
            )
        return Stored(f"{self.name}:{split}", records, self.classes)


def paired(name: str, train: Sequence[Record], test: Sequence[Record], rule: str) -> Splits:
    """Splits that lie apart. Raises UsageError for a held-out picture that has none of the training classes."""
    classes = class_names(train)
    lacking = bool(classes) and all(record.label != -1 for record in train)
    known = {*classes, *range(len(classes)), *(() if lacking else (-1,))}
    for record in test:
        if record.label not in known:
            said = (
                f"has the class {record.label!r}, which no training picture has"
                if record.label != -1
                else "has no class"
            )
            raise UsageError(f"{record.where} {said}; sort the held-out pictures into the training classes")
    return Splits(name, train, test, classes, rule)


def class_names(records: Iterable[Record]) -> tuple[str, ...]:
    """Names of the classes by label: sorted names, or "0".."n" of numbers. Raises UsageError where both occur."""
    labels = {record.label for record in records} - {-1}
    names = sorted(label for label in labels if isinstance(label, str))
    numbers = [label for label in labels if isinstance(label, int)]
    if names and numbers:
        raise UsageError(f"labels are both names ({names[0]!r}) and numbers ({numbers[0]}); use one of them throughout")
    if numbers and min(numbers) < 0:
        raise UsageError(f"labels must be 0 or more (-1: none), got {min(numbers)}")
    return tuple(names) if names else tuple(str(i) for i in range(max(numbers, default=-1) + 1))


def divided(name: str, records: Sequence[Record]) -> Splits:
    """Holds out 5% by a hash of each key: a picture keeps its side when others come or go. Of two or more, one at least."""
    places = [_place(record.key) for record in records]
    limit = max(HELD_OUT, min(places)) if len(records) > 1 else 0.0
    if all(place <= limit for place in places):
        limit = min(places)
    sides = [
        [r for r, place in zip(records, places, strict=True) if (place <= limit) is held] for held in (False, True)
    ]
    return Splits(name, sides[0], sides[1], class_names(records), "5% held out by a hash of the file's name")


def _place(key: str) -> float:
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
