"""Where shapes go: many tries for many scenes at once, of which the first that fits is taken.

Legend: B scenes that ask alike, T tries, n shapes of a scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .world import EDGE, GAP

CLEAR = 0.15  # least distance along a relation's axis
TRIES, FEW = 64, 8  # most scenes fit in one of the first few
ALONG = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}  # axis and direction
_NAMES = {way: name for name, way in ALONG.items()}
TOGETHER = 3  # more shapes seldom fit in one try, so each takes the first of its tries that fits those before it


@dataclass(frozen=True)
class Wanted:
    """Shapes of `radii` (n,), each to be multiplied by its `spread` (n,), that reach so many radii far.

    `draws` (T, n, 2) in [0, 1) are places to choose from; y goes from `room[0]` to `room[1]`. Shapes may be closer than apart by the
    fraction `overlap`. The first `split[0]` are to lie clearly to one side of the next `split[1]`, if there are any: for more than
    TOGETHER shapes the side is `relation`.
    """

    radii: Sequence[float]
    reach: Sequence[float]
    spread: np.ndarray
    draws: np.ndarray
    room: tuple[float, float] = (0.0, 1.0)
    overlap: float = 0.0
    split: tuple[int, int] = (0, 0)
    relation: str = "left of"


@dataclass(frozen=True)
class Settled:
    """Centre and size of each shape, and how the first lie to the second, if that was asked."""

    places: list[list[float]]
    sizes: list[float]
    relation: str | None


@dataclass(frozen=True)
class _Choice:
    """The same of B scenes: `places` (B, T, n, 2), least distances of centres (B, n, n)."""

    places: np.ndarray
    needed: np.ndarray
    split: tuple[int, int]
    ways: np.ndarray  # (B, 2): axis and direction


def settle(wanted: Sequence[Wanted]) -> list[Settled | None]:
    """A place for every shape of every scene, None where no try fits."""
    found: list[Settled | None] = [None] * len(wanted)
    alike: dict[tuple[int, tuple[int, int]], list[int]] = {}
    for b, one in enumerate(wanted):
        alike.setdefault((len(one.radii), one.split), []).append(b)
    for members in alike.values():
        for tries in (FEW, TRIES):
            left = [b for b in members if found[b] is None]
            if left:
                for b, settled in zip(left, _settled([wanted[b] for b in left], tries), strict=True):
                    found[b] = settled
    return found


def _settled(wanted: Sequence[Wanted], tries: int) -> list[Settled | None]:
    """For scenes of as many shapes, from the first so many tries."""
    sizes = np.array([one.radii for one in wanted]) * np.array([one.spread for one in wanted])
    reach = sizes * np.array([one.reach for one in wanted])
    low = (reach + EDGE)[:, None, :, None]
    start = np.array([(0.0, one.room[0]) for one in wanted])[:, None, None]
    extent = np.array([(1.0, one.room[1] - one.room[0]) for one in wanted])[:, None, None]
    places = low + np.array([one.draws[:tries] for one in wanted]) * (extent - 2 * low) + start
    needed = (reach[:, :, None] + reach[:, None] + GAP) * np.array([1 - one.overlap for one in wanted])[:, None, None]
    ways = np.array([ALONG[one.relation] for one in wanted])
    choice = _Choice(places, needed, wanted[0].split, ways)
    chosen, fits, ways = (_whole if places.shape[2] <= TOGETHER else _one_by_one)(choice)
    rows = zip(chosen.tolist(), sizes.tolist(), fits.tolist(), ways.tolist(), strict=True)
    related = choice.split[1] > 0
    return [
        Settled(centres, size, _NAMES[way[0], way[1]] if related else None) if fit else None
        for centres, size, fit, way in rows
    ]


def _whole(choice: _Choice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each scene the first try in which all fits, whether one does, and the way of its relation."""
    places, (first, second), ways = choice.places, choice.split, choice.ways
    fits = np.ones(places.shape[:2], dtype=bool)
    for i, k in zip(*np.triu_indices(places.shape[2], 1), strict=True):
        fits &= _distance(places[:, :, i] - places[:, :, k]) >= choice.needed[:, i, k, None]
    batch = np.arange(len(places))
    if second:
        axis, sign, clear = _sides(places[:, :, :first], places[:, :, first : first + second])
        fits &= clear
        chosen = fits.argmax(1)
        ways = np.stack([axis[batch, chosen], sign[batch, chosen].astype(int)], axis=1)
    chosen = fits.argmax(1)
    return places[batch, chosen], fits[batch, chosen], ways


def _distance(steps: np.ndarray) -> np.ndarray:
    return np.sqrt(steps[..., 0] * steps[..., 0] + steps[..., 1] * steps[..., 1])


def _sides(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each try (B, T) the longer axis from the second shapes to the first, the direction, and whether all are clearly there."""
    steps = first[:, :, :, None] - second[:, :, None]
    mean = steps.mean(axis=(2, 3))
    axis = np.abs(mean).argmax(-1)
    along = np.where(axis[:, :, None, None] == 0, steps[..., 0], steps[..., 1])
    sign = np.sign(np.where(axis == 0, mean[..., 0], mean[..., 1]))
    return axis, sign, (along * sign[:, :, None, None]).min(axis=(2, 3)) >= CLEAR


def _one_by_one(choice: _Choice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each shape's first try that fits those before it and, where asked, the side."""
    places, (first, second), ways = choice.places, choice.split, choice.ways
    batch = np.arange(len(places))
    chosen, whole = places[:, 0].copy(), np.ones(len(places), dtype=bool)
    for i in range(places.shape[2]):
        fits = np.ones(places.shape[:2], dtype=bool)
        for k in range(i):
            steps = places[:, :, i] - chosen[:, None, k]
            fits &= _distance(steps) >= choice.needed[:, i, k, None]
            if second and k < first <= i < first + second:  # steps lead from the first group to the second
                fits &= steps[batch, :, ways[:, 0]] * -ways[:, 1:] >= CLEAR
        whole &= fits.any(1)
        chosen[:, i] = places[batch, fits.argmax(1), i]
    return chosen, whole, ways
