"""How well pictures follow their prompts, aspect by aspect, as GenEval asks it of a detector (Ghosh et al. 2023, arXiv 2310.11513)."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ....errors import UsageError, nearest
from ..phrase import AND, COUNTS, SIZES, WORDING, Group, Prompt, parse
from ..scene import COLOURS, KINDS
from .read import Found, Reading, read_all

ASPECTS = ("count", "colour", "kind", "size", "relation", "word", "all")
LEAST_STEP = 0.03  # a relation holds if the centres differ by one pixel at 32
# the words of captions: those that say what is to be seen, and those between
LITTLE = (
    *["a", "an", "the", "to", "of", "with", "there", "is", "are", "picture", "image", "photo", "drawing"],
    *[AND, *map(str, range(len(COUNTS)))],
)
_LYING = {word for ways in WORDING.values() for way in ways for word in way.split()} - {*LITTLE}
TELLING = (*KINDS, *COLOURS, *SIZES, *COUNTS, *sorted(_LYING))


@dataclass(frozen=True)
class Grades:
    """Right (1) or wrong (0) for each picture and aspect, float (B,) each; not a number where the prompt does not ask for it.

    `count`: as many shapes as asked for, no more; `colour`, `kind` and `size`: those asked for are there, as often;
    `relation`: the shapes asked for, each with its kind and colour, lie as asked; `word`: it is written, letter by letter; `all`:
    everything at once and nothing else.
    """

    count: np.ndarray
    colour: np.ndarray
    kind: np.ndarray
    size: np.ndarray
    relation: np.ndarray
    word: np.ndarray
    all: np.ndarray

    def means(self) -> dict[str, float]:
        """The share of right pictures by aspect, of those that ask for it (not a number where none does)."""
        asked = {name: getattr(self, name)[~np.isnan(getattr(self, name))] for name in ASPECTS}
        return {name: float(values.mean()) if len(values) else float("nan") for name, values in asked.items()}


def grade(images: np.ndarray | Tensor, captions: Sequence[str | Prompt]) -> Grades:
    """Grades pictures, uint8 (B, S, S, 3) or float (B, 3, S, S) in [-1, 1], against captions of the world's grammar.

    Raises UsageError for a caption that is not of the grammar, naming the first unknown word, before any picture is read.
    """
    if len(images) != len(captions):
        raise UsageError(f"captions: {len(captions)} for {len(images)} images; give one an image")
    prompts = prompts_of(captions)
    rows = [_graded(reading, prompt) for reading, prompt in zip(read_all(images), prompts, strict=True)]
    columns = np.array(rows, dtype=np.float64).reshape(-1, len(ASPECTS)).T
    return Grades(**dict(zip(ASPECTS, columns, strict=True)))


def prompts_of(captions: Sequence[str | Prompt]) -> list[Prompt]:
    """What captions ask for. Raises UsageError for textures, and naming the first word that the world does not know, with the nearest
    that it does."""
    found = [caption if isinstance(caption, Prompt) else _prompt(caption) for caption in captions]
    for prompt in found:
        if any(group.texture for group in prompt.groups):
            raise UsageError(
                f"caption {str(prompt)!r} asks for a texture, which the grader does not read; leave it out"
            )
    return found


def _prompt(caption: str) -> Prompt:
    try:
        return parse(caption)
    except UsageError:
        known = {*TELLING, *LITTLE}
        for word in re.findall(r"[^\s.]+", caption.lower()):
            if known.isdisjoint((word, word.removesuffix("s"), word.removesuffix("es"))):
                raise UsageError(
                    f"caption {caption!r} is not of this world, which has no word {word!r}{nearest(word, TELLING)}"
                ) from None
        raise


def _graded(reading: Reading, prompt: Prompt) -> tuple[float, ...]:
    shapes = reading.shapes
    count = len(shapes) == prompt.total
    colour = _covers(Counter(s.colour for s in shapes), [(g.colour, g.count) for g in prompt.groups])
    kind = _covers(Counter(s.kind for s in shapes), [(g.kind, g.count) for g in prompt.groups])
    size = _covers(Counter(s.size_word for s in shapes), [(g.size, g.count) for g in prompt.groups])
    relation = (
        float("nan") if prompt.relation is None else float(any(lies(a, prompt) for a in matches(shapes, prompt, False)))
    )
    word = float("nan") if prompt.word is None else float(reading.word is not None and reading.word.text == prompt.word)
    whole = count and word != 0 and any(lies(a, prompt) for a in matches(shapes, prompt, True))
    return float(count), colour, kind, size, relation, word, float(whole)


def _covers(found: Counter[str], asked: list[tuple[str | None, int]]) -> float:
    """1 if everything asked for was found as often, 0 if not, not a number if nothing is asked for."""
    needed: Counter[str] = Counter()
    for value, count in asked:
        if value is not None:
            needed[value] += count
    return float(needed <= found) if needed else float("nan")


def matches(
    shapes: Sequence[Found], prompt: Prompt, sized: bool
) -> Iterator[tuple[tuple[Found, ...], tuple[Found, ...]]]:
    """The ways to pick shapes for the first and the second group that have all that is asked of them."""
    first = [s for s in shapes if _is(s, prompt.first, sized)]
    second = [s for s in shapes if prompt.second is not None and _is(s, prompt.second, sized)]
    for chosen in itertools.combinations(first, prompt.first.count):
        left = [s for s in second if s not in chosen]
        yield from (
            (chosen, other) for other in itertools.combinations(left, prompt.second.count if prompt.second else 0)
        )


def _is(shape: Found, group: Group, sized: bool) -> bool:
    fits = shape.kind == group.kind and group.colour in (None, shape.colour)
    return fits and (not sized or group.size in (None, shape.size_word))


def lies(chosen: tuple[tuple[Found, ...], tuple[Found, ...]], prompt: Prompt) -> bool:
    """Whether every shape of the first group lies as asked to every one of the second; true where nothing is asked."""
    if prompt.relation is None:
        return True
    steps = np.array([(a.x - b.x, a.y - b.y) for a in chosen[0] for b in chosen[1]]).reshape(-1, 2)
    axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[prompt.relation]
    return bool((steps[:, axis] * sign >= LEAST_STEP).all())
