"""The words of captions: what a text encoder that is trained on this world has to know."""

from __future__ import annotations

from .phrase import AND, COUNTS, OPENINGS, SIZES, WORDING, Group
from .scene import COLOURS, KINDS


def _said() -> str:
    kinds = [str(Group(count, kind)) for kind in KINDS for count in (1, 2)]
    relations = [word for words in WORDING.values() for word in words]
    return " ".join([*kinds, *relations, *OPENINGS, *COUNTS[1:], *SIZES, *COLOURS, "is are", AND])


WORDS = tuple(sorted(set(_said().split())))
