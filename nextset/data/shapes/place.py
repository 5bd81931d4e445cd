"""Where shapes go: many tries for many scenes at once, of which the first that fits is taken.

Legend: B scenes that ask alike, T tries, n shapes of a scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .world import EDGE, GAP

CLEAR = 0.15  # least distance along a relation's axis
TRIES = 64
ALONG = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}  # axis and direction
_NAMES = {way: name for name, way in ALONG.items()}
TOGETHER = 3  # more shapes seldom fit in one try, so each takes the first of its tries that fits those before it


@dataclass(frozen=True)
class Wanted:
    """Shapes of `reach` (n,) at `places` (T, n, 2) to choose from, closer than apart by the fraction `overlap`.

    The first `split[0]` are to lie clearly to one side of the next `split[1]`, if there are any: for more than TOGETHER shapes
    the side is `relation`.
    """

    reach: np.ndarray
    places: np.ndarray
    split: tuple[int, int] = (0, 0)
    relation: str = "left of"
    overlap: float = 0.0


@dataclass(frozen=True)
class Settled:
    """Centres (n, 2), and how the first shapes lie to the second, if that was asked."""

    places: np.ndarray
    relation: str | None


def tries(rng: np.random.Generator, reach: np.ndarray, room: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Places (T, n, 2) within the picture for shapes of `reach` (n,), y within `room`."""
    low = (reach + EDGE)[:, None]
    places = rng.random((TRIES, len(reach), 2))
    if room == (0.0, 1.0):
        return low + places * (1 - 2 * low)
    start, extent = np.array([0.0, room[0]]), np.array([1.0, room[1] - room[0]])
    return low + start + places * (extent - 2 * low)


def settle(wanted: Sequence[Wanted]) -> list[Settled | None]:
    """A place for every shape of every scene, None where no try fits."""
    found: list[Settled | None] = [None] * len(wanted)
    alike: dict[tuple[int, tuple[int, int]], list[int]] = {}
    for b, one in enumerate(wanted):
        alike.setdefault((len(one.reach), one.split), []).append(b)
    for (count, _), members in alike.items():
        rows = _whole if count <= TOGETHER else _one_by_one
        for b, settled in zip(members, rows([wanted[b] for b in members]), strict=True):
            found[b] = settled
    return found


def _needed(wanted: Sequence[Wanted]) -> np.ndarray:
    """Least distances between centres, (B, n, n)."""
    reach = np.array([one.reach for one in wanted])
    return (reach[:, :, None] + reach[:, None] + GAP) * np.array([1 - one.overlap for one in wanted])[:, None, None]


def _whole(wanted: Sequence[Wanted]) -> list[Settled | None]:
    """Of each scene the first try in which all fits."""
    places, needed = np.array([one.places for one in wanted]), _needed(wanted)
    fits = np.ones(places.shape[:2], dtype=bool)
    for i, k in zip(*np.triu_indices(places.shape[2], 1), strict=True):
        fits &= _distance(places[:, :, i] - places[:, :, k]) >= needed[:, i, k, None]
    first, second = wanted[0].split
    if not second:
        ways = None
    else:
        axis, sign, clear = _sides(places[:, :, :first], places[:, :, first : first + second])
        fits &= clear
        ways = axis, sign
    chosen = fits.argmax(1).tolist()
    return [
        Settled(places[b, t], ways and _NAMES[int(ways[0][b, t]), int(ways[1][b, t])]) if fits[b, t] else None
        for b, t in enumerate(chosen)
    ]


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


def _one_by_one(wanted: Sequence[Wanted]) -> list[Settled | None]:
    """Each shape's first try that fits those before it and, where asked, the side."""
    places, needed = np.array([one.places for one in wanted]), _needed(wanted)
    first, second = wanted[0].split
    ways = np.array([ALONG[one.relation] for one in wanted])
    batch = np.arange(len(places))
    chosen, whole = places[:, 0].copy(), np.ones(len(places), dtype=bool)
    for i in range(places.shape[2]):
        fits = np.ones(places.shape[:2], dtype=bool)
        for k in range(i):
            steps = places[:, :, i] - chosen[:, None, k]
            fits &= _distance(steps) >= needed[:, i, k, None]
            if second and k < first <= i < first + second:  # steps lead from the first group to the second
                fits &= steps[batch[:, None], np.arange(TRIES), ways[:, :1]] * -ways[:, 1:] >= CLEAR
        whole &= fits.any(1)
        chosen[:, i] = places[batch, fits.argmax(1), i]
    return [Settled(chosen[b], one.relation if second else None) if whole[b] else None for b, one in enumerate(wanted)]
