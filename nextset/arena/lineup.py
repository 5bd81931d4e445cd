"""Who takes part: systems by name, made to fit the pictures and the classes of the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .. import catalogue
from ..account import META
from ..conditions import Captions, Condition, Label, Unconditional, Words
from ..data.base import Dataset
from ..errors import UsageError
from ..system import System

ALL = "all"
SMALL = "digits", "shapes"  # the sizes that suit small pictures
LARGEST = 32  # side of pictures of one's own, unless it is asked for


@dataclass(frozen=True)
class Pictures:
    """What all systems draw: (height, width), channels, and how many classes the data has."""

    size: tuple[int, int]
    channels: int
    classes: int


def pictures_of(data: Dataset, side: int = 0, channels: int = 0) -> Pictures:
    """Those of `data`: squares of `side` pixels, or as its first picture asks for, in whole eights up to 32; its channels unless given.

    Raises UsageError for data without classes, since the systems of the catalogue are told one.
    """
    if not data.classes:
        raise UsageError(
            f"data {data.name} has no classes, and systems are told one: sort the pictures into a folder a class"
        )
    height, width, found = data[0].image.shape
    side = side or max(8, min(height, width, LARGEST) // 8 * 8)
    return Pictures((side, side), channels or found, len(data.classes))


def lineup(words: Sequence[str], data: str, shown: Pictures) -> tuple[dict[str, System], dict[str, str]]:
    """Systems by name, and why others that were named do not fit the data. "all" is every other system that has a size for it.

    A name without a size takes the system's small one, that of the data first; pictures of one's own have no size of theirs, so they
    take any. Raises UsageError for unknown names.
    """
    sizes = (
        (data, *(size for size in SMALL if size != data))
        if data in SMALL
        else SMALL[:: 1 if shown.channels == 1 else -1]
    )
    fitting = (data,) if data in SMALL else SMALL
    everybody = [name for name in catalogue.names() if any(size in catalogue.sizes(name) for size in fitting)]
    rest = [name for name in everybody if name not in words]
    names = [name for word in words for name in (rest if word == ALL else [word])]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"systems must be at least one, each once, got {','.join(words) or 'none'}")
    found: dict[str, System] = {}
    misfits: dict[str, str] = {}
    for name, choice in {name: _choice(name, sizes) for name in names}.items():
        try:
            found[name] = _first_that_fits(choice, shown)
        except UsageError as error:
            misfits[name] = str(error)
    return found, misfits


def _choice(name: str, sizes: Sequence[str]) -> list[System]:
    if "/" in name:
        return [catalogue.spec(name)]
    table = catalogue.sizes(name)
    found = [table[size] for size in sizes if size in table]
    if not found:
        raise UsageError(
            f"system {name!r} has no small size ({' or '.join(SMALL)}); name one of its sizes, as {name}/SIZE"
        )
    return found


def _first_that_fits(sizes: Sequence[System], shown: Pictures) -> System:
    for index, system in enumerate(sizes):
        try:
            return adapted(system, shown)
        except UsageError:
            if index + 1 == len(sizes):
                raise
    raise AssertionError("unreachable: there is one at least")


def adapted(system: System, shown: Pictures) -> System:
    """The system for these pictures and classes; itself where it is. Raises UsageError where its parts do not allow them."""
    tokenizer = system.tokenizer
    if tokenizer.channels != shown.channels:
        if not any(f.name == "channels" for f in dataclasses.fields(tokenizer)):
            raise UsageError(
                f"tokenizer {type(tokenizer).__name__} is for {tokenizer.channels} channels, not {shown.channels}"
            )
        tokenizer = replace(tokenizer, channels=shown.channels)  # type: ignore[call-arg]
    system = replace(system, tokenizer=tokenizer, condition=_told(system, shown.classes))
    system = system if system.size == shown.size else system.sized(shown.size)
    with META:
        system.network()
    return system


def _told(system: System, classes: int) -> Condition:
    condition = system.condition
    if isinstance(condition, Unconditional | Captions):
        return condition
    if isinstance(condition, Label):
        return replace(condition, classes=classes)
    if isinstance(condition, Words) and condition.slots == 1:
        return replace(condition, vocab=classes)
    raise UsageError(f"it is told {condition}, not a class")
