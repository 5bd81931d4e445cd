"""Scenes by number: scene i of a stream is always the same, whatever was made before.

A scene is one shape, several equal ones, or a large shape and small ones of another look. Unless the world says otherwise, no shape
hides or touches another. Its class is kind and colour of the largest shape, so a class can be told from the picture: 36 classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import UsageError
from ...noise import mix
from . import glyphs
from .phrase import SIZES, Group, Prompt, wording
from .place import ALONG, TRIES, Settled, Wanted, settle
from .scene import COLOURS, KINDS, LETTERS, REACH, Lettering, Scene, Shape
from .world import BACKGROUNDS, DEFAULT, RADII, World

CLASSES = tuple(f"{colour} {kind}" for kind in KINDS for colour in COLOURS)
SPEED = 0.3  # most per unit of time along each axis
ROUNDS = 200  # worlds in which shapes fit at all need a few
UNRELATED = 0.25  # of captions of two groups do not say how they lie
DOT = 1 / 32  # of letters, in sides of the picture
BAND = (glyphs.HEIGHT + 2) * DOT  # that a word takes
_COLOURS, _LETTERS = tuple(COLOURS), sorted(LETTERS)

__all__ = ["BACKGROUNDS", "CLASSES", "RADII", "Sample", "backdrop", "distinct", "sample", "samples", "scattered"]


@dataclass(frozen=True)
class Sample:
    """A scene with what is true of it."""

    scene: Scene
    prompt: Prompt
    caption: str
    label: int


@dataclass(frozen=True)
class _Draft:
    """A scene before its shapes have places: groups that the caption tells of, the group of each shape, a word."""

    groups: tuple[Group, ...]
    owners: list[Group]
    word: Lettering | None
    wanted: Wanted


def sample(stream: int, index: int, world: World = DEFAULT) -> Sample:
    """Scene `index` of a stream. Raises UsageError where the world asks for more than fits into a picture."""
    return samples([(stream, index)], world)[0]


def samples(keys: Sequence[tuple[int, int]], world: World = DEFAULT) -> list[Sample]:
    """The scenes of several (stream, index), as `sample` gives them, faster than one by one."""
    rngs = [np.random.default_rng(mix("shapes", stream, index)) for stream, index in keys]
    found: list[Sample | None] = [None] * len(keys)
    waiting = list(range(len(keys)))
    for _ in range(ROUNDS):
        drafts = [_draft(rngs[b], world) for b in waiting]
        settled = settle([draft.wanted for draft in drafts])
        for b, draft, places in zip(waiting, drafts, settled, strict=True):
            if places is not None:
                found[b] = _finished(rngs[b], draft, places, world)
        waiting = [b for b in waiting if found[b] is None]
        if not waiting:
            break
    done = [one for one in found if one is not None]
    if len(done) < len(found):
        raise _crowded(world)
    return done


def scattered(rng: np.random.Generator, world: World, least: int, most: int) -> tuple[list[Group], tuple[Shape, ...]]:
    """From `least` to `most` shapes of `distinct` looks, anywhere apart from each other, and their groups.

    Raises UsageError where they do not fit into a picture.
    """
    for _ in range(ROUNDS):
        groups = distinct(rng, int(rng.integers(least, most + 1)), world)
        settled = settle([_wanted(rng, groups, world)])[0]
        if settled is not None:
            return groups, _shapes(rng, groups, settled, world)
    raise _crowded(world)


def distinct(rng: np.random.Generator, count: int, world: World) -> list[Group]:
    """Single shapes, at most one of them large, no two of which have kind and colour in common."""
    looks = rng.permutation(len(KINDS) * len(COLOURS))[:count].tolist()
    large = int(rng.integers(max(2 * count, 1)))  # in half of the scenes it is one of the shapes
    textures = [world.textures[rng.integers(len(world.textures))] for _ in range(count)]
    return [
        Group(1, KINDS[look // len(COLOURS)], _COLOURS[look % len(COLOURS)], SIZES[i == large], texture)
        for i, (look, texture) in enumerate(zip(looks, textures, strict=True))
    ]


def backdrop(rng: np.random.Generator, shapes: tuple[Shape, ...], world: World) -> Scene:
    """The shapes before a background of the world."""
    colours = [world.backgrounds[rng.integers(len(world.backgrounds))] for _ in range(1 + world.fades)]
    return Scene(shapes, colours[0], floor=colours[1] if world.fades else None)


def _crowded(world: World) -> UsageError:
    return UsageError(
        f"world: its shapes hardly ever fit into one picture ({world}); lower most, distractors or letters, or raise overlap"
    )


def _draft(rng: np.random.Generator, world: World) -> _Draft:
    groups = _groups(rng, world)
    others = _others(rng, groups, world) if world.distractors else ()
    owners = [group for group in (*groups, *others) for _ in range(group.count)]
    split = (groups[0].count, groups[1].count) if len(groups) > 1 else (0, 0)
    word = _word(rng, world) if world.letters else None
    return _Draft(groups, owners, word, _wanted(rng, owners, world, split, word))


def _wanted(
    rng: np.random.Generator,
    owners: Sequence[Group],
    world: World,
    split: tuple[int, int] = (0, 0),
    word: Lettering | None = None,
) -> Wanted:
    """Sizes, and tries of places, for shapes."""
    spread = rng.uniform(1 - world.jitter, 1 + world.jitter, len(owners))
    draws = rng.random((TRIES, len(owners), 2))
    relation = tuple(ALONG)[rng.integers(4)] if world.most > 3 or world.distractors else "left of"
    room = (0.0, 1.0) if word is None else (0.0, 1 - BAND) if word.y > 0.5 else (BAND, 1.0)
    radii, reach = [RADII[group.size or "small"] for group in owners], [REACH[group.kind] for group in owners]
    return Wanted(radii, reach, spread, draws, room, world.overlap, split, relation)


def _groups(rng: np.random.Generator, world: World) -> tuple[Group, ...]:
    plan, most = rng.random(), world.most
    first, second = _look(rng, world), _look(rng, world)
    if most == 1 or plan < 0.35:
        return (_group(1, first, SIZES[rng.integers(2)]),)
    if plan < 0.6 or first[:2] == second[:2]:
        count = int(rng.integers(2, most + 1))
        return (_group(count, first, SIZES[rng.integers(2)] if count == 2 else "small"),)
    count = int(rng.integers(1, most))
    pair = (_group(count, first, "small"), _group(1, second, "large"))
    return pair if rng.random() < 0.5 else pair[::-1]


def _look(rng: np.random.Generator, world: World) -> tuple[str, str, str]:
    """Kind, colour, texture."""
    kind, colour = KINDS[rng.integers(len(KINDS))], _COLOURS[rng.integers(len(COLOURS))]
    return kind, colour, world.textures[rng.integers(len(world.textures)) if len(world.textures) > 1 else 0]


def _group(count: int, look: tuple[str, str, str], size: str) -> Group:
    kind, colour, texture = look
    return Group(count, kind, colour, size, None if texture == "plain" else texture)


def _others(rng: np.random.Generator, groups: tuple[Group, ...], world: World) -> tuple[Group, ...]:
    """Small shapes of looks that the caption does not name."""
    taken = {(group.kind, group.colour) for group in groups}
    looks = [_look(rng, world) for _ in range(rng.integers(world.distractors + 1))]
    return tuple(_group(1, look, "small") for look in looks if look[:2] not in taken)


def _word(rng: np.random.Generator, world: World) -> Lettering:
    """A word on the grid of dots, at the top or the bottom."""
    text = "".join(_LETTERS[i] for i in rng.integers(len(_LETTERS), size=rng.integers(1, world.letters + 1)))
    height = glyphs.HEIGHT * DOT
    width = glyphs.length(text, height)
    free = round((1 - width) / DOT) - 1  # dots to the left and right, at least one of them on either side
    x = width / 2 + DOT * int(rng.integers(1, free + 1))
    y = BAND / 2 if rng.random() < 0.5 else 1 - BAND / 2
    return Lettering(text, x, y, height, _COLOURS[rng.integers(len(COLOURS))])


def _finished(rng: np.random.Generator, draft: _Draft, settled: Settled, world: World) -> Sample:
    groups = draft.groups
    shapes = _shapes(rng, draft.owners, settled, world)
    told = Prompt(
        groups[0],
        settled.relation,
        groups[1] if len(groups) > 1 else None,
        None if draft.word is None else draft.word.text,
    )
    prompt = _worded(told, rng)
    scene = backdrop(rng, shapes, world)
    if (
        prompt.second is not None and rng.random() < UNRELATED
    ):  # drawn after the scene, so that scenes are those of older streams
        prompt = replace(prompt, relation=None)
    caption = wording(prompt, rng)
    largest = next(group for group in groups if len(groups) == 1 or group.size == "large")
    label = CLASSES.index(f"{largest.colour} {largest.kind}")
    seen = scene if draft.word is None else replace(scene, words=(draft.word,))
    return Sample(seen, prompt, caption, label)


def _shapes(rng: np.random.Generator, owners: Sequence[Group], settled: Settled, world: World) -> tuple[Shape, ...]:
    """With angles, depths and motion."""
    motion = rng.uniform(-1, 1, (len(owners), 5)).tolist()
    return tuple(
        Shape(
            group.kind,
            group.colour or "white",
            x,
            y,
            size,
            world.tilt * tilt,
            (depth + 1) / 2,
            (SPEED * right, SPEED * down),
            spin,
            group.texture or "plain",
        )
        for group, (x, y), size, (tilt, depth, right, down, spin) in zip(
            owners, settled.places, settled.sizes, motion, strict=True
        )
    )


def _worded(prompt: Prompt, rng: np.random.Generator) -> Prompt:
    """The prompt, every second time without the sizes."""
    if rng.random() < 0.5:
        return prompt
    first, *rest = (Group(g.count, g.kind, g.colour, None, g.texture) for g in prompt.groups)
    return Prompt(first, prompt.relation, rest[0] if rest else None, prompt.word)
