"""A prompt score in the manner of GenEval (Ghosh et al. 2023, arXiv 2310.11513): six categories of prompts, one question each.

The captions are as those of the world, which always say a colour; how two shapes lie is said where it is asked ("position"), elsewhere
they are joined by "and". A category only asks for its own part, and for shapes of these kinds to be there, whatever else is. Only
"counting" minds one too many. Legend: B pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch import Tensor

from ....errors import UsageError, nearest
from ....noise import mix
from ..phrase import RELATIONS, Group, Prompt
from ..scene import COLOURS, KINDS
from .grade import lies, matches, prompts_of
from .read import Found, read_all

COUNTED = (2, 3)


def prompts(category: str, count: int, seed: int = 0) -> list[Prompt]:
    """`count` prompts of a category, always the same ones for a seed: no prompt comes twice before all that there are have come."""
    _check(category)
    if count < 1:
        raise UsageError(f"count must be at least 1, got {count}")
    everything = list(_ASKED[category]())
    rng = np.random.default_rng(mix("prompts", category, seed))
    rounds = [rng.permutation(len(everything)) for _ in range(-(-count // len(everything)))]
    return [everything[i] for i in np.concatenate(rounds)[:count]]


def score(images: np.ndarray | Tensor, captions: Sequence[str | Prompt], category: str) -> np.ndarray:
    """Right (1) or wrong (0), float (B,), for pictures, uint8 (B, S, S, 3) or float (B, 3, S, S) in [-1, 1].

    "single object", "two objects": shapes of the kinds asked for are there; "counting": as many of the kind as asked for, no more;
    "colours", "colour attribution": one (of each) has the colour asked for; "position": one of each lies as asked. UsageError, before
    any picture is read, for other captions than those that the category can ask about.
    """
    _check(category)
    if len(images) != len(captions):
        raise UsageError(f"captions: {len(captions)} for {len(images)} images; give one an image")
    asked = prompts_of(captions)
    for prompt in asked:
        _check_prompt(prompt, category)
    judge = _JUDGED[category]
    readings = read_all(images)
    return np.array([judge(r.shapes, p) for r, p in zip(readings, asked, strict=True)], dtype=np.float64)


def overall(scores: dict[str, float]) -> float:
    """GenEval's overall score: the mean of the categories."""
    return sum(scores.values()) / len(scores)


def _check(category: str) -> None:
    if category not in CATEGORIES:
        raise UsageError(f"category {category!r} is none{nearest(category, CATEGORIES)}")


def _check_prompt(prompt: Prompt, category: str) -> None:
    pair = category in ("two objects", "position", "colour attribution")
    coloured = category not in ("colours", "colour attribution") or all(group.colour for group in prompt.groups)
    related = category != "position" or prompt.relation is not None
    if (prompt.second is not None) != pair or not coloured or not related:
        raise UsageError(
            f"captions: {str(prompt)!r} is no prompt of the category {category!r}; take those of `prompts`"
        )


# what is asked


def _single() -> Iterator[Prompt]:
    return (Prompt(Group(1, kind, colour)) for kind in KINDS for colour in COLOURS)


def _counting() -> Iterator[Prompt]:
    return (Prompt(Group(count, kind, colour)) for count in COUNTED for kind in KINDS for colour in COLOURS)


def _pairs(relations: Sequence[str | None] = (None,)) -> Iterator[Prompt]:
    for first, second in itertools.permutations(KINDS, 2):
        for colours in itertools.permutations(COLOURS, 2):
            for relation in relations:
                yield Prompt(Group(1, first, colours[0]), relation, Group(1, second, colours[1]))


def _related() -> Iterator[Prompt]:
    return _pairs(RELATIONS)


_ASKED: dict[str, Callable[[], Iterator[Prompt]]] = {
    "single object": _single,
    "two objects": _pairs,
    "counting": _counting,
    "colours": _single,
    "position": _related,
    "colour attribution": _pairs,
}
CATEGORIES = tuple(_ASKED)


# what is right


def _there(shapes: Sequence[Found], prompt: Prompt) -> bool:
    return all(any(s.kind == group.kind for s in shapes) for group in prompt.groups)


def _counted(shapes: Sequence[Found], prompt: Prompt) -> bool:
    return sum(s.kind == prompt.first.kind for s in shapes) == prompt.first.count


def _coloured(shapes: Sequence[Found], prompt: Prompt) -> bool:
    return all(any((s.kind, s.colour) == (g.kind, g.colour) for s in shapes) for g in prompt.groups)


def _placed(shapes: Sequence[Found], prompt: Prompt) -> bool:
    assert prompt.second is not None, "checked before"
    plain = Prompt(Group(1, prompt.first.kind), prompt.relation, Group(1, prompt.second.kind))
    return any(lies(chosen, plain) for chosen in matches(shapes, plain, False))


_JUDGED: dict[str, Callable[[Sequence[Found], Prompt], bool]] = {
    "single object": _there,
    "two objects": _there,
    "counting": _counted,
    "colours": _coloured,
    "position": _placed,
    "colour attribution": _coloured,
}
