"""Pictures in folders (one sub-folder a class, as ImageNet and torchvision's ImageFolder have it), and lists of them as jsonl."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from ..errors import UsageError
from .stored import Record

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")


def folder_records(root: Path) -> list[Record]:
    """All pictures below `root`, sorted by class folder and path; `x.txt` beside `x.jpg` is its caption.

    Sub-folders of `root` are classes; pictures directly in it have none. Raises UsageError where there are both or nothing.
    """
    records = [record for folder, names in _walk(root) for record in _in_folder(root, folder, names)]
    if not records:
        raise UsageError(f"{root} holds no pictures: looked for {', '.join(EXTENSIONS)} in it and below")
    loose = [record for record in records if record.label == -1]
    if loose and len(loose) < len(records):
        raise UsageError(f"{root} holds both pictures ({loose[0].key}) and class folders; move the loose pictures away")
    return records


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    for folder, below, names in os.walk(root, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(folder), sorted(name for name in names if not name.startswith("."))


def _in_folder(root: Path, folder: Path, names: list[str]) -> Iterator[Record]:
    parts = folder.relative_to(root).parts
    captions = {name for name in names if name.endswith(".txt")}
    for name in names:
        if name.lower().endswith(EXTENSIONS):
            beside = f"{PurePath(name).stem}.txt"
            caption = _text(folder / beside) if beside in captions else ""
            yield Record(str(folder / name), "/".join((*parts, name)), parts[0] if parts else -1, caption)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def jsonl_records(path: Path) -> list[Record]:
    """Pictures of lines like {"image": "a.jpg", "label": 3, "caption": "a cat"}, paths from the file's folder on.

    `file_name` and `text`, as Hugging Face writes them, are read too. Raises UsageError naming the line that is wrong.
    """
    with open(path, encoding="utf-8") as file:
        records = [_line(path, number, line) for number, line in enumerate(file, 1) if line.strip()]
    if not records:
        raise UsageError(f"{path} is empty: each line should be like {{'image': 'a.jpg', 'caption': 'a cat'}}")
    return records


def _line(path: Path, number: int, line: str) -> Record:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{path}:{number}: not JSON ({error})") from error
    image = (data.get("image") or data.get("file_name")) if isinstance(data, dict) else None
    if not isinstance(image, str):
        raise UsageError(f"{path}:{number}: needs 'image', the path of a picture")
    label, caption = annotation(data, f"{path}:{number}")
    return Record(str(path.parent / image), image, label, caption)


def annotation(data: dict[str, Any], where: str) -> tuple[int | str, str]:
    """Label (-1: none) and caption of a JSON object. Raises UsageError naming `where` it is wrong."""
    label, caption = data.get("label", -1), data.get("caption", data.get("text", ""))
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise UsageError(f"{where}: 'label' must be a number or a name, got {label!r}")
    if not isinstance(caption, str):
        raise UsageError(f"{where}: 'caption' must be text, got {type(caption).__name__}")
    return label, caption
