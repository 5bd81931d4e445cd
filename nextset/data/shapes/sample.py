"""Scenes by number: scene i of a stream is always the same, whatever was made before.

A scene is one shape, two or three equal ones, or a large shape and one or two small ones of another look. No shape hides or
touches another. Its class is kind and colour of the largest shape, so a class can be told from the picture: 36 classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...noise import mix
from .phrase import SIZES, Group, Prompt, wording
from .scene import COLOURS, KINDS, REACH, Scene, Shape

CLASSES = tuple(f"{colour} {kind}" for kind in KINDS for colour in COLOURS)
RADII = {"small": 0.115, "large": 0.19}
JITTER = 0.07  # sizes differ by at most this fraction from their word's radius
TILT = 0.25  # radians; shapes stand nearly upright
SPEED = 0.3  # most per unit of time along each axis
GAP = 0.07  # between shapes: two pixels at 32
EDGE = 0.02
CLEAR = 0.15  # least distance along a relation's axis
BACKGROUNDS = ((18, 18, 22), (40, 44, 58), (58, 46, 40))
TRIES = 64


@dataclass(frozen=True)
class Sample:
    """A scene with what is true of it."""

    scene: Scene
    prompt: Prompt
    caption: str
    label: int


def sample(stream: int, index: int, most: int = 3) -> Sample:
    """Scene `index` of a stream, of at most `most` (1 to 3) shapes: the steps of a curriculum."""
    rng = np.random.default_rng(mix("shapes", stream, index))
    while True:
        groups = _groups(rng, most)
        placed = _placed(rng, groups)
        if placed is not None:
            break
    prompt = _worded(Prompt(groups[0], placed[1], groups[1] if len(groups) > 1 else None), rng)
    largest = next(group for group in groups if len(groups) == 1 or group.size == "large")
    background = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    label = CLASSES.index(f"{largest.colour} {largest.kind}")
    return Sample(Scene(placed[0], background), prompt, wording(prompt, rng), label)


def _groups(rng: np.random.Generator, most: int) -> tuple[Group, ...]:
    plan = rng.random()
    first, second = _look(rng), _look(rng)
    if most == 1 or plan < 0.35:
        return (Group(1, *first, SIZES[rng.integers(2)]),)
    if plan < 0.6 or first == second:
        count = int(rng.integers(2, most + 1))
        return (Group(count, *first, SIZES[rng.integers(2)] if count == 2 else "small"),)
    count = int(rng.integers(1, most))
    pair = (Group(count, *first, "small"), Group(1, *second, "large"))
    return pair if rng.random() < 0.5 else pair[::-1]


def _look(rng: np.random.Generator) -> tuple[str, str]:
    return KINDS[rng.integers(len(KINDS))], tuple(COLOURS)[rng.integers(len(COLOURS))]


def _placed(rng: np.random.Generator, groups: tuple[Group, ...]) -> tuple[tuple[Shape, ...], str | None] | None:
    """Shapes for the groups and how the first group lies to the second; None where no try fits."""
    owners = [group for group in groups for _ in range(group.count)]
    sizes = np.array([RADII[g.size or "small"] for g in owners]) * rng.uniform(1 - JITTER, 1 + JITTER, len(owners))
    reach = sizes * np.array([REACH[group.kind] for group in owners])
    low = (reach + EDGE)[:, None]
    places = low + rng.random((TRIES, len(owners), 2)) * (1 - 2 * low)
    fits = _apart(places, reach)
    relation, clear = _relation(places, groups)
    good = np.flatnonzero(fits & clear)
    if not len(good):
        return None
    motion = rng.uniform(-1, 1, (len(owners), 5))
    shapes = [_shape(*one) for one in zip(owners, places[good[0]], sizes, motion, strict=True)]
    return tuple(shapes), relation[good[0]]


def _shape(group: Group, place: np.ndarray, size: float, motion: np.ndarray) -> Shape:
    tilt, depth, right, down, spin = (float(value) for value in motion)
    return Shape(
        group.kind,
        group.colour or "white",
        float(place[0]),
        float(place[1]),
        float(size),
        TILT * tilt,
        (depth + 1) / 2,
        (SPEED * right, SPEED * down),
        spin,
    )


def _apart(places: np.ndarray, reach: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    needed = reach[:, None] + reach[None] + GAP
    return (distances >= needed)[:, *np.triu_indices(len(reach), 1)].all(axis=1)


def _relation(places: np.ndarray, groups: tuple[Group, ...]) -> tuple[list[str | None], np.ndarray]:
    """For each try the relation along the longer axis, and whether it holds clearly for every shape."""
    if len(groups) == 1:
        return [None] * len(places), np.ones(len(places), dtype=bool)
    count = groups[0].count
    steps = places[:, :count, None] - places[:, None, count:]  # from each of the second group to each of the first
    mean = steps.mean(axis=(1, 2))
    axis = np.abs(mean).argmax(axis=1)
    tries = np.arange(len(places))
    sign = np.sign(mean[tries, axis])
    clear = (np.moveaxis(steps, -1, 1)[tries, axis] * sign[:, None, None]).min(axis=(1, 2)) >= CLEAR
    names = {(0, -1): "left of", (0, 1): "right of", (1, -1): "above", (1, 1): "below"}
    return [names.get((int(a), int(s))) for a, s in zip(axis, sign, strict=True)], clear


def _worded(prompt: Prompt, rng: np.random.Generator) -> Prompt:
    """The prompt, every second time without the sizes."""
    if rng.random() < 0.5:
        return prompt
    plain = [Group(group.count, group.kind, group.colour) for group in prompt.groups]
    return Prompt(plain[0], prompt.relation, plain[1] if len(plain) > 1 else None)
