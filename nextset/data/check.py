"""Looks at every picture of a data set before anybody trains on it: broken files, sizes, modes, classes, duplicates."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from ..errors import NextsetError
from .base import Dataset
from .open import find_splits, named, open_dataset
from .picture import opened
from .stored import Stored

FEW = 20  # a class with fewer pictures is flagged
CHUNK = 256
MODES = {"1": "grey", "L": "grey", "LA": "grey with alpha", "RGB": "RGB", "RGBA": "RGBA", "P": "palette"}


@dataclass(frozen=True)
class Report:
    """What `check` found. `sizes` maps min, median and max to (width, height); `common` holds ((width, height), pictures)."""

    source: str
    count: int
    per_class: dict[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    captioned: int = 0
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    common: list[tuple[tuple[int, int], int]] = field(default_factory=list)
    modes: dict[str, int] = field(default_factory=dict)
    broken: list[tuple[str, str]] = field(default_factory=list)
    duplicates: int = 0
    split: dict[str, int] = field(default_factory=dict)
    rule: str = ""

    @property
    def ok(self) -> bool:
        """Whether every picture can be read."""
        return not self.broken

    @property
    def small_classes(self) -> list[str]:
        """Classes of fewer than 20 pictures."""
        return [name for name, count in self.per_class.items() if count < FEW]

    @property
    def verdict(self) -> str:
        """One line: whether to train, and on what."""
        if self.broken:
            return (
                f"{len(self.broken)} of {self.count} pictures cannot be read: delete or replace them, then check again"
            )
        side = min(self.sizes["median"])
        size = max(8, min(2 ** (side.bit_length() - 1), 256))
        kind = f"class-conditional on {len(self.per_class)} classes" if self.per_class else "unconditional"
        kind = "on captions" if self.captioned == self.count and not self.per_class else kind
        return f"ready: {self.split['train']} pictures to train on, {self.split['test']} held out; {kind}, at up to {size} pixels"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, with `ok`, `small_classes` and `verdict`."""
        plain = dataclasses.asdict(self)
        return plain | {"ok": self.ok, "small_classes": self.small_classes, "verdict": self.verdict}

    def __str__(self) -> str:
        """The report as text, the verdict last."""
        return "\n".join([*_lines(self), self.verdict])


@dataclass(frozen=True)
class _Look:
    label: int = -1
    captioned: bool = False
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    digest: bytes = b""
    broken: tuple[str, str] | None = None


def check(source: str) -> Report:
    """Decodes every picture of `source` (as `open_dataset` takes it). Broken ones are listed, not raised.

    Raises UsageError or NextsetError where the data set itself cannot be opened.
    """
    dataset, split, rule = _opened(source)
    looks = list(
        tqdm(_look_at_all(dataset), total=len(dataset), desc="checking", unit="image", disable=None, leave=False)
    )
    whole = [look for look in looks if look.broken is None]
    counted = Counter(look.label for look in looks)
    return Report(
        source=source,
        count=len(dataset),
        per_class={name: counted[label] for label, name in enumerate(dataset.classes)},
        unlabelled=counted[-1],
        captioned=sum(look.captioned for look in looks),
        sizes=_sizes([look.size for look in whole]),
        common=Counter(look.size for look in whole).most_common(3),
        modes=dict(Counter(look.mode for look in whole).most_common()),
        broken=[look.broken for look in looks if look.broken is not None],
        duplicates=len(whole) - len({look.digest for look in whole}),
        split=split,
        rule=rule,
    )


def _opened(source: str) -> tuple[Dataset, dict[str, int], str]:
    if named(source) is not None or source.startswith("hf:"):
        sizes = {split: len(open_dataset(source, split)) for split in ("train", "test")}
        return open_dataset(source, "all"), sizes, "fixed"
    splits = find_splits(source)
    return splits.dataset("all"), {"train": len(splits.train), "test": len(splits.test)}, splits.rule


def _look_at_all(dataset: Dataset) -> Iterator[_Look]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter lock
        for start in range(0, len(dataset), CHUNK):
            chunk = range(start, min(start + CHUNK, len(dataset)))
            yield from pool.map(_look, itertools.repeat(dataset), chunk)


def _look(dataset: Dataset, index: int) -> _Look:
    if isinstance(dataset, Stored):
        return _look_at_file(dataset, index)
    try:
        item = dataset[index]
    except NextsetError as error:
        return _Look(broken=(f"{dataset.name}[{index}]", str(error)))
    height, width, channels = item.image.shape
    digest = hashlib.sha256(item.image.tobytes()).digest()
    return _Look(item.label, bool(item.caption), (width, height), "grey" if channels == 1 else "RGB", digest)


def _look_at_file(dataset: Stored, index: int) -> _Look:
    record, label = dataset.records[index], dataset.label(index)
    try:
        data = record.read()
        picture = opened(data, record.where)
    except NextsetError as error:
        reason = str(error).removeprefix(f"{record.where} ").partition(";")[0]
        return _Look(label, bool(record.caption), broken=(record.where, reason))
    mode = MODES.get(picture.mode, picture.mode)
    return _Look(label, bool(record.caption), picture.size, mode, hashlib.sha256(data).digest())


def _sizes(sizes: list[tuple[int, int]]) -> dict[str, tuple[int, int]]:
    if not sizes:
        return {}
    widths, heights = zip(*sizes, strict=True)
    ways: dict[str, Callable[[Sequence[int]], int]] = {"min": min, "median": statistics.median_low, "max": max}
    return {name: (way(widths), way(heights)) for name, way in ways.items()}


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.source}: {report.count} pictures, {len(report.per_class)} classes, {report.captioned} captions"
    for name, (width, height) in report.sizes.items():
        yield f"  {name + ' size':12} {width} x {height}"
    yield "  most common  " + ", ".join(f"{w} x {h} ({count})" for (w, h), count in report.common)
    yield "  modes        " + ", ".join(f"{mode} ({count})" for mode, count in report.modes.items())
    yield f"  split        {report.split['train']} train, {report.split['test']} test ({report.rule})"
    yield from _class_lines(report)
    if report.duplicates:
        yield f"  duplicates   {report.duplicates} pictures have exactly the bytes of another"
    for name, reason in report.broken[:20]:
        yield f"  broken       {name}: {reason}"
    if len(report.broken) > 20:
        yield f"  broken       and {len(report.broken) - 20} more"


def _class_lines(report: Report) -> Iterator[str]:
    if report.per_class:
        counts = sorted(report.per_class.values())
        yield f"  per class    {counts[0]} to {counts[-1]} pictures, median {statistics.median_low(counts)}"
    if report.per_class and report.unlabelled:
        yield f"  unlabelled   {report.unlabelled} pictures"
    if report.small_classes:
        few = [f"{name} ({report.per_class[name]})" for name in report.small_classes]
        yield f"  few          fewer than {FEW} pictures in {', '.join(few[:8])}" + (" ..." if len(few) > 8 else "")
