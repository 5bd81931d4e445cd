"""WebDataset shards by random access: headers are read once, pictures by seeking.

A sample is the members that share a path up to the first dot of the file name: `000.jpg` with `000.cls` (label), `000.txt`
(caption) or `000.json` ({"label": ..., "caption": ...}).
"""

from __future__ import annotations

import glob
import itertools
import json
import re
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from ..errors import NextsetError, UsageError
from .folder import annotation
from .stored import Record

PICTURES = ("jpg", "jpeg", "png", "webp")
NOTES = ("cls", "txt", "json")


def shards(pattern: str) -> list[Path]:
    """Files of a path, a glob or a brace pattern ("train-{0000..0146}.tar"), sorted. Raises UsageError naming a missing one."""
    found: list[Path] = []
    for part in _braces(pattern):
        matches = sorted(glob.glob(part)) if glob.has_magic(part) else [part]
        if not matches or not Path(matches[0]).is_file():
            raise UsageError(f"{part} does not exist" + (f" (from {pattern})" if part != pattern else ""))
        found += map(Path, matches)
    return found


def _braces(pattern: str) -> list[str]:
    match = re.search(r"\{([^{}]*)\}", pattern)
    if not match:
        return [pattern]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if span:
        low, high = span.groups()
        options = [str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)]
    else:
        options = match[1].split(",")
    return list(
        itertools.chain.from_iterable(_braces(pattern[: match.start()] + o + pattern[match.end() :]) for o in options)
    )


def tar_records(paths: Sequence[Path]) -> list[Record]:
    """All pictures of the shards, in order. Raises NextsetError naming a damaged shard, UsageError where there are no pictures."""
    progress = tqdm(paths, desc="reading shards", unit="shard", disable=None, leave=False)
    records = [record for path in progress for record in _in_shard(path)]
    if not records:
        raise UsageError(f"{paths[0]} holds no pictures: looked for members named .{', .'.join(PICTURES)}")
    return records


def _in_shard(path: Path) -> list[Record]:
    try:
        with tarfile.open(path, "r:") as tar:
            samples = _samples(tar)
            _check_end(path, tar.offset)
            return [_record(path, tar, members) for members in samples if not members.keys().isdisjoint(PICTURES)]
    except (tarfile.TarError, OSError) as error:
        raise NextsetError(f"{path} is damaged, cut short or compressed ({error}); copy it again, unpacked") from error


def _samples(tar: tarfile.TarFile) -> Iterable[dict[str, tarfile.TarInfo]]:
    found: dict[str, dict[str, tarfile.TarInfo]] = {}
    for member in tar:
        place = PurePosixPath(member.name)
        stem, _, extension = place.name.partition(".")
        if member.isfile() and stem:
            found.setdefault(str(place.with_name(stem)), {})[extension.lower()] = member
    return found.values()


def _check_end(path: Path, offset: int) -> None:
    # tarfile takes any header that it cannot read for the end; a whole archive ends in blocks of zeros
    with open(path, "rb") as file:
        file.seek(offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise NextsetError(f"{path} is cut short or damaged at byte {offset}; copy it again")


def _record(path: Path, tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> Record:
    picture = next(members[e] for e in PICTURES if e in members)
    notes = {e: _note(tar, members[e]) for e in NOTES if e in members}
    label, caption = _json(notes["json"], f"{path}/{members['json'].name}") if "json" in notes else (-1, "")
    if "cls" in notes:
        label = int(notes["cls"]) if re.fullmatch(r"-?\d+", notes["cls"]) else notes["cls"]
    caption = notes.get("txt", caption)
    return Record(str(path), f"{path.name}/{picture.name}", label, caption, picture.offset_data, picture.size)


def _note(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return file.read().decode("utf-8", "replace").strip() if file else ""


def _json(text: str, where: str) -> tuple[int | str, str]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise NextsetError(f"{where} is not JSON ({error}); write the shard again") from error
    return annotation(data, where) if isinstance(data, dict) else (-1, "")
