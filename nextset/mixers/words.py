"""Keepings by a word, as the command line takes them: exact, bfloat16, float16, int8, window:256, window:256+8."""

from __future__ import annotations

import re

from ..errors import UsageError, nearest
from .keeping import EXACT, Keeping
from .rounded import DTYPES, Int8, Narrow
from .window import Window

PLAIN: dict[str, Keeping] = {"exact": EXACT, **{name: Narrow(name) for name in DTYPES}, "int8": Int8()}


def keeping_of(word: str) -> Keeping:
    """The keeping of a word; window:S holds the last S slots and Window's usual first ones, window:S+F the first F.

    Raises UsageError for anything else, with what comes nearest.
    """
    if word in PLAIN:
        return PLAIN[word]
    name, _, size = word.partition(":")
    if name != "window":
        raise UsageError(f"keeping {word!r} is unknown{nearest(name, [*PLAIN, 'window:256', 'window:256+8'])}")
    found = re.fullmatch(r"(\d+)(?:\+(\d+))?", size, re.ASCII)
    if not found:
        raise UsageError(f"keeping {word!r} needs its slots, and may name the first: write window:256 or window:256+8")
    return Window(*(int(number) for number in found.groups() if number is not None))
