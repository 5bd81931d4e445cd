"""One word or path to a data set: what a path holds is found by looking."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path

from ..errors import UsageError, nearest
from .base import Dataset
from .digits import Digits
from .folder import folder_records, jsonl_records
from .hub import HubImages
from .shapes import Shapes
from .shapes.spelling import spelt
from .stored import HELD_OUT_NAMES, Record, Splits, divided, paired
from .tar import shards, tar_records
from .tokens import INDEX

NAMES = ("digits", "shapes", "shapes-64")


def named(source: str) -> Callable[[str], Dataset] | None:
    """The data set that nextset makes or brings itself under this name, given a split: digits, or a world of shapes (`spelt`)."""
    if source == "digits":
        return Digits
    found = spelt(source)
    if found is None:
        return None
    size, world = found
    return lambda split: Shapes(split, size, world=world)


def open_dataset(source: str, split: str = "train") -> Dataset:
    """The `split` ("train", "test" or "all") of `source`: digits, shapes, "hf:owner/name" on the hub, or a path.

    shapes-64 are larger, and shapes(most=2, letters=3) of another world (`World`). A path is a folder (a sub-folder a class; `train`
    and `val` or `test` inside are the splits), WebDataset shards (a `.tar`, a folder, a glob or brace pattern of them) or a `.jsonl`
    list. Where there are no splits, 5% are held out by a hash of the file's name. Raises UsageError for what is none of these,
    naming what comes closest.
    """
    made = named(source)
    if made is not None:
        return made(split)
    if source.startswith("hf:"):
        return HubImages(source, split)
    return find_splits(source).dataset(split)


def find_splits(source: str) -> Splits:
    """What the path or pattern `source` holds."""
    path = Path(source)
    if not path.exists():
        return divided(path.name, tar_records(shards(_known(source))))
    name = path.resolve().name
    pair = _pair(path) if path.is_dir() else None
    if pair is None:
        return divided(name, _records(_only_split(path)))
    train, test = pair
    return paired(name, _records(train), _records(test), f"{train.name} and {test.name} of {path}")


def _known(source: str) -> str:
    if not (glob.has_magic(source) or "{" in source):
        raise UsageError(f"data {source!r} is no path here and no data set of nextset{nearest(source, NAMES)}")
    return source


def _pair(root: Path) -> tuple[Path, Path] | None:
    """What to train on and what to test on, where a folder says so: sub-folders or lists."""
    for ending in ("", ".jsonl"):
        test = [root / f"{name}{ending}" for name in HELD_OUT_NAMES if (root / f"{name}{ending}").exists()]
        if test and (root / f"train{ending}").exists():
            return root / f"train{ending}", test[0]
    return None


def _only_split(root: Path) -> Path:
    """The one sub-folder, where it is named after a split rather than a class."""
    below = [p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")] if root.is_dir() else []
    return below[0] if len(below) == 1 and below[0].name in ("train", *HELD_OUT_NAMES) else root


def _records(path: Path) -> list[Record]:
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".tar":
        return tar_records([path])
    if path.suffix == ".jsonl":
        return jsonl_records(path)
    raise UsageError(f"data {path} is a file of no known kind: give a folder, a .tar or a .jsonl")


def _folder(path: Path) -> list[Record]:
    if (path / INDEX).is_file() and any(path.glob("*.safetensors")):
        raise UsageError(
            f"data {path} is a token cache, which holds tokens and no pictures; give it as the cache of a training run"
        )
    tars = sorted(path.glob("*.tar"))
    if tars:
        return tar_records(tars)
    listed = path / "metadata.jsonl"  # as Hugging Face's image folders have it
    return jsonl_records(listed) if listed.is_file() else folder_records(path)
