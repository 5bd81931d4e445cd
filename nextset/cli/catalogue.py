"""`nextset list`, `info` and `diff`: the systems as data."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from .. import catalogue, folders
from ..account import Account, Caching, account, caching
from ..errors import UsageError
from ..layout import Discrete, Unit
from ..mixers import Keeping, keeping_of
from ..spec import Spec
from ..system import System
from ..weights import published
from .command import Json, is_terminal, parse, say, table

Name = Annotated[
    str, tyro.conf.Positional, tyro.conf.arg(metavar="SYSTEM", help="NAME, NAME/SIZE, or the folder of a saved model.")
]


@dataclass
class List:
    """The systems, one a row: what each decides, how many steps a picture of its first size takes, which sizes have weights."""

    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command."""
        command = parse(cls, "list", words)
        rows = [row(name) for name in catalogue.names()]
        say(command.json, rows, listed(rows))
        return 0


def row(name: str) -> dict[str, Any]:
    """What `nextset list --json` says of a system; its keys stay."""
    sizes = catalogue.sizes(name)
    system = next(iter(sizes.values()))
    parts = ("tokenizer", "order", "wiring", "backbone", "head")
    return {
        "name": name,
        "sizes": list(sizes),
        "unit": alphabet(system.tokenizer.unit),
        **{part: type(getattr(system, part)).__name__ for part in parts},
        "steps": len(system.order.sizes(system.layout)),
        "published": {size: list(found.files) for size, found in published(name).items()},
    }


def alphabet(unit: Unit) -> str:
    """The alphabet of a site in words."""
    if not isinstance(unit, Discrete):
        return f"vector of {unit.dim}"
    return f"id of {unit.vocab}" if unit.codes == 1 else f"{unit.codes} ids of {unit.vocab}"


def listed(rows: Sequence[dict[str, Any]]) -> str:
    """The table of `nextset list`; a star marks sizes with published weights."""
    lines = [["name", "token", "order", "wiring", "backbone", "head", "steps", "sizes (*: published weights)"]]
    for found in rows:
        tokenizer = f"{found['tokenizer']}: {found['unit']}"
        parts = [found[part] for part in ("order", "wiring", "backbone", "head")]
        sizes = " ".join(size + "*" * (size in found["published"]) for size in found["sizes"])
        lines.append([found["name"], tokenizer, *parts, str(found["steps"]), sizes])
    return shown(lines)


@dataclass
class Info:
    """Parameters, tokens, steps, arithmetic, memory and parts of a system or a saved model."""

    system: Name
    keeping: str | None = None
    """Also what the cache takes if it keeps: bfloat16, float16, int8, window:256 (the last slots), window:256+8 (and the first)."""
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command."""
        command = parse(cls, "info", words)
        keeping = keeping_of(command.keeping) if command.keeping is not None else None
        name, system = find(command.system)
        found = account(system)
        kept = [(keeping, caching(system, keeping))] if keeping else []
        parts = {f.name: getattr(system, f.name) for f in dataclasses.fields(system) if f.name != "size"}
        about = {"name": name, "size": list(system.size), "unit": alphabet(system.tokenizer.unit)}
        data = about | dataclasses.asdict(found) | {"parts": {key: str(part) for key, part in parts.items()}}
        for how, cost in kept:
            read = {"read_first": cost.reads[0], "read_last": cost.reads[-1], "read_total": sum(cost.reads)}
            data["keeping"] = {"word": command.keeping, "spec": how.to_dict(), "bytes": cost.bytes, **read}
        told = [*_figures(system, found), *(line for pair in kept for line in _kept(*pair)), *_pairs(parts)]
        say(command.json, data, "\n".join([name, *told]))
        return 0


def _kept(keeping: Keeping, cost: Caching) -> list[str]:
    held, last, total = _short(cost.bytes), _short(cost.reads[-1]), _short(sum(cost.reads))
    return _pairs(
        {"kept as": f"{keeping}: {held}B; the last step reads {last}B, an image {total}B, computed in bfloat16"}
    )


def _figures(system: System, found: Account) -> list[str]:
    wide, narrow, int8 = map(_short, (found.cache_bytes_float32, found.cache_bytes_bfloat16, found.cache_bytes_int8))
    last, total = _short(found.cache_read_last_bfloat16), _short(found.cache_read_total_bfloat16)
    return _pairs(
        {
            "images": f"{system.size[0]} x {system.size[1]}, {system.tokenizer.channels} channels",
            "tokens": f"{found.tokens} at {found.sites} sites ({alphabet(system.tokenizer.unit)})",
            "steps": found.steps,
            "parameters": f"{_short(found.parameters)}, tokenizer {_short(found.tokenizer_parameters)}",
            "multiply-adds": f"{_short(found.multiply_adds)} an unguided image, decoder {_short(found.decoder_multiply_adds)}",
            "cache": f"{wide}B an image in float32, {narrow}B in bfloat16, {int8}B in int8",
            "cache reads": f"{last}B in the last step, {total}B an image, in bfloat16",
        }
    )


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"  {name:<14} {value}" for name, value in values.items()]


def _short(number: float) -> str:
    """Three digits and a power of thousand."""
    power = 0
    while number >= 999.5:
        number, power = number / 1000, power + 1
    return f"{number:.3g} {'kMGTPE'[power - 1]}" if power else f"{number:.0f}"


@dataclass
class Diff:
    """What two systems, or saved models, decide differently, field by field."""

    left: Name
    right: Name
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command."""
        command = parse(cls, "diff", words)
        (left, one), (right, other) = find(command.left), find(command.right)
        differences = [{"field": at, "left": a, "right": b} for at, a, b in one.diff(other)]
        plain = [{key: _plain(value) for key, value in found.items()} for found in differences]
        lines = [["", left, right], *([str(value) for value in found.values()] for found in differences)]
        text = shown(lines) if differences else f"{left} and {right} decide the same"
        say(command.json, {"left": left, "right": right, "differences": plain}, text)
        return 0


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.to_dict() if isinstance(value, Spec) else value


def find(word: str) -> tuple[str, System]:
    """A system by its name, or that of a saved model's folder, with its full name. Raises UsageError with the nearest name."""
    folder, (name, _, size) = Path(word), word.partition("/")
    if (folder / folders.CONFIG).is_file() or (folder.is_dir() and name not in catalogue.names()):
        config = folders.load_config(folder)
        if "system" not in config:
            raise UsageError(f"{word} holds a {' and a '.join(sorted(config.keys() - {'nextset'}))}, no system")
        return word, System.from_dict(config["system"])
    return f"{name}/{size or next(iter(catalogue.sizes(name)))}", catalogue.spec(word)


def shown(rows: Sequence[Sequence[str]]) -> str:
    """A table; on a terminal, the widest columns are broken into lines, between words, until it fits.

    Where it never would, each row is a paragraph of the columns' names and cells.
    """
    if not is_terminal():
        return table(rows)
    room = shutil.get_terminal_size().columns - 2 * (len(rows[0]) - 1)
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    least = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    if sum(least) > room:
        return _paragraphs(rows, shutil.get_terminal_size().columns)
    while sum(widths) > room and widths != least:
        widest = max((i for i in range(len(widths)) if widths[i] > least[i]), key=lambda i: widths[i])
        widths[widest] -= 1
    return table([line for row in rows for line in _broken(row, widths)])


def _paragraphs(rows: Sequence[Sequence[str]], width: int) -> str:
    header, *others = rows
    said = (
        "  ".join([row[0], *(f"{name} {cell}" for name, cell in zip(header[1:], row[1:], strict=True))])
        for row in others
    )
    whole = {"break_long_words": False, "break_on_hyphens": False}
    return "\n".join(textwrap.fill(text, width, subsequent_indent="    ", **whole) for text in said)  # type: ignore[arg-type]


def _broken(cells: Sequence[str], widths: Sequence[int]) -> list[tuple[str, ...]]:
    """One row as several lines."""
    parts = [textwrap.wrap(cell, width, break_on_hyphens=False) for cell, width in zip(cells, widths, strict=True)]
    return list(itertools.zip_longest(*parts, fillvalue=""))
