"""Prompts as data, their wording, and the way back from words.

Grammar: GROUP [RELATION GROUP | and GROUP] [with the word "..."], where GROUP is [count] [size] [texture] [colour] kind: "two small
striped red circles left of a blue square".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import UsageError
from .scene import COLOURS, KINDS, TEXTURES

SIZES = ("small", "large")
RELATIONS = ("left of", "right of", "above", "below")
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
WORDING = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
AND = "and"  # where it is not said how groups lie
COUNTS = ("no", "one", "two", "three", "four", "five", "six")
OPENINGS = ("", "a picture of ", "an image of ", "there is ")


@dataclass(frozen=True)
class Group:
    """`count` equal shapes; where colour, size or texture is None any will do."""

    count: int
    kind: str
    colour: str | None = None
    size: str | None = None
    texture: str | None = None

    def __str__(self) -> str:
        plural = "" if self.count == 1 else "es" if self.kind.endswith("s") else "s"
        words = [COUNTS[self.count], self.size, self.texture, self.colour, self.kind + plural]
        said = " ".join(word for word in words if word)
        return said if self.count != 1 else "a " + said.removeprefix("one ")


@dataclass(frozen=True)
class Prompt:
    """What a picture should show: `first`, a `second` with or without how the first lies to it, and a `word` written in it."""

    first: Group
    relation: str | None = None
    second: Group | None = None
    word: str | None = None

    @property
    def groups(self) -> tuple[Group, ...]:
        """One or two."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def total(self) -> int:
        """Shapes in all."""
        return sum(group.count for group in self.groups)

    def swapped(self) -> Prompt:
        """The same, said of the second group."""
        if self.second is None:
            return self
        return Prompt(self.second, self.relation and INVERSE[self.relation], self.first, self.word)

    def __str__(self) -> str:
        shapes = str(self.first) if self.second is None else f"{self.first} {self.relation or AND} {self.second}"
        return shapes if self.word is None else f'{shapes} with the word "{self.word}"'


def listed(things: Sequence[object]) -> str:
    """One after the other: "a red circle, a blue square and a white star"."""
    *most, last = map(str, things)
    return f"{', '.join(most)} and {last}" if most else last


def wording(prompt: Prompt, rng: np.random.Generator) -> str:
    """One of the ways to say it, always with the same draws from `rng`."""
    opening, swap, verbose, word = OPENINGS[rng.integers(len(OPENINGS))], *(rng.random(3) < 0.5)
    said = prompt.swapped() if swap else prompt
    end = "" if said.word is None else f' {("with", "and")[rng.integers(2)]} the word "{said.word}"'
    if opening == "there is " and said.first.count != 1:
        opening = "there are "
    if said.second is None or said.relation is None:
        return opening + str(replace(said, word=None)) + end
    verb = "" if opening or not verbose else "is " if said.first.count == 1 else "are "
    return f"{opening}{said.first} {verb}{WORDING[said.relation][int(word)]} {said.second}{end}"


_NUMBERS = (
    {word: number for number, word in enumerate(COUNTS)} | {str(n): n for n in range(len(COUNTS))} | {"a": 1, "an": 1}
)
_GROUP = re.compile(
    rf"(?:({'|'.join(_NUMBERS)}) )?(?:({'|'.join(SIZES)}) )?(?:({'|'.join(TEXTURES)}) )?"
    rf"(?:({'|'.join(COLOURS)}) )?({'|'.join(KINDS)})(?:s|es)?"
)
_OPENING = re.compile(r"(?:(?:a |an |the )?(?:picture|image|photo|drawing) (?:of|with) |there (?:is|are) )")
_RELATION = re.compile(
    rf" (?:is |are )?({'|'.join(sorted((w for ws in WORDING.values() for w in ws), key=len, reverse=True))}) "
)
_WORD = re.compile(r' (?:and|with) the word "([a-z0-9]+)"$')


def parse(caption: str) -> Prompt:
    """The prompt that a caption of the grammar says. Raises UsageError for any other text."""
    text = " ".join(caption.lower().strip(" .").split())
    opening = _OPENING.match(text)
    text = text[opening.end() :] if opening else text
    written = _WORD.search(text)
    word = written and written[1].upper()
    text = text[: written.start()] if written else text
    relation = _RELATION.search(text)
    if relation is None:
        first, *rest = text.split(f" {AND} ", 1)
        return Prompt(group(first, caption), None, group(rest[0], caption) if rest else None, word)
    name = next(name for name, words in WORDING.items() if relation[1] in words)
    return Prompt(group(text[: relation.start()], caption), name, group(text[relation.end() :], caption), word)


def group(text: str, caption: str) -> Group:
    """The group that `text`, a part of `caption`, says. Raises UsageError for other words."""
    match = _GROUP.fullmatch(text.removeprefix("the "))
    if not match:
        raise UsageError(f"caption {caption!r} is not of this world: {text!r} should be like 'two small red circles'")
    count, size, texture, colour, kind = match.groups()
    return Group(_NUMBERS[count] if count else 1, kind, colour, size, texture)
