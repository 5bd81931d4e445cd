"""What every command shares: parsing by tyro, and the choice between text and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import torch
import tyro

from ..errors import UsageError
from ..sampling import Share
from ..sampling.share import ALONE

T = TypeVar("T")

Json = Annotated[bool, tyro.conf.arg(name="json", help="Print JSON.")]


def parse(cls: Callable[..., T] | type[T], name: str, words: Sequence[str], default: T | None = None) -> T:
    """The options of command `name` from its words; tyro answers wrong ones itself, with exit code 2."""
    config = (tyro.conf.FlagCreatePairsOff,)
    if default is None:
        return tyro.cli(cls, prog=f"nextset {name}", args=words, config=config)
    return tyro.cli(cls, prog=f"nextset {name}", args=words, default=default, config=config)  # type: ignore[arg-type]


def say(as_json: bool, data: Any, text: str) -> None:
    """Prints `data` as JSON, or `text`."""
    print(json.dumps(data, indent=1) if as_json else text)


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Left-aligned columns; the first row is the header."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def device(name: str, share: Share = ALONE) -> torch.device:
    """A device by name; "auto" is the first CUDA device, else the CPU. Of several processes each takes the next CUDA device."""
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", share.local if share.world > 1 else 0)
    if name == "auto":
        return torch.device("cpu")
    try:
        chosen = torch.device(name)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try cpu") from error
    return chosen


def positional(words: Sequence[str], what: str, example: str) -> tuple[str, list[str]]:
    """The first word, which names `what`, and the rest."""
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        raise UsageError(f"say which {what} first, for example: {example}")
    return words[0], list(words[1:])


def is_terminal() -> bool:
    """Whether a person reads the standard output."""
    return sys.stdout.isatty()
