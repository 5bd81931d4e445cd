"""Edits: was the change made that was asked for, and is everything else as it was? Legend: B pictures, S side.

What was asked for is told by two scenes, before and after. A shape of one is the same in the other if it kept its look (kind and
colour) or its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ....errors import UsageError
from ..render import render
from ..scene import Scene, Shape
from .agreement import SHADE, check_scenes
from .match import distances, in_picture, pairs
from .read import Found, Reading, as_pixels, read_all

CHANGES = ("add", "remove", "move", "recolour", "replace", "resize", "background")
PLACE = 0.05  # a shape is where it should be within this, in sides of the picture
SIZE = 0.15  # and as large, as a fraction
CLEANEST = 100.0  # dB; what is equal would be infinitely clean


@dataclass(frozen=True)
class Change:
    """One thing that differs: its name of `CHANGES`, and the shape before and after, None where there is none."""

    name: str
    before: Shape | None = None
    after: Shape | None = None


@dataclass(frozen=True)
class EditGrades:
    """For each picture, float (B,): `made`, 1 if all changes were; `kept`, 1 if every other shape and the background are as they
    were and nothing came in; `both`; `psnr`, dB to the picture before, outside of what was to change (at most 100).

    `by_change` is the share of changes made, by name, of those asked for.
    """

    made: np.ndarray
    kept: np.ndarray
    both: np.ndarray
    psnr: np.ndarray
    by_change: dict[str, float]

    def means(self) -> dict[str, float]:
        """The mean of each over the pictures, and the shares by change as "made/<change>"."""
        means = {name: float(getattr(self, name).mean()) for name in ("made", "kept", "both", "psnr")}
        return means | {f"made/{name}": share for name, share in self.by_change.items()}


def grade_edits(
    images: np.ndarray | Tensor,
    before: Sequence[Scene],
    after: Sequence[Scene],
    sources: np.ndarray | Tensor | None = None,
) -> EditGrades:
    """Grades edited pictures, uint8 (B, S, S, 3) or float (B, 3, S, S) in [-1, 1].

    `sources` are the pictures that were edited, in the same form; without them `before` is rendered. Moves, sizes and places
    are right within 5% of the side and 15% of the size. UsageError where a scene before and after is the same.
    """
    check_scenes(images, before)
    check_scenes(images, after)
    if sources is not None and tuple(sources.shape) != tuple(images.shape):
        raise UsageError(f"sources must be like images, {tuple(images.shape)}, got {tuple(sources.shape)}")
    asked = [changes(a, b) for a, b in zip(before, after, strict=True)]
    for i, found in enumerate(asked):
        if not found:
            raise UsageError(f"before and after: scenes {i} do not differ, so there is no edit to grade")
    made: dict[str, list[bool]] = {}
    rows = []
    for reading, one, scene, old in zip(read_all(images), asked, after, before, strict=True):
        done = _done(reading, one, scene)
        for change, right in zip(one, done, strict=True):
            made.setdefault(change.name, []).append(right)
        rows.append((all(done), _kept(reading, one, old, scene)))
    columns = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    shares = {name: float(np.mean(made[name])) for name in CHANGES if name in made}
    psnr = outside_psnr(images, before, after, sources)
    return EditGrades(columns[0], columns[1], columns[0] * columns[1], psnr, shares)


def changes(before: Scene, after: Scene) -> list[Change]:
    """What differs between two scenes, as their cameras see them; motion and turns aside."""
    old, new = in_picture(before), in_picture(after)
    both = pairs(np.array([[_cost(a, b) for b in new] for a in old]).reshape(len(old), len(new)), 3.0)
    found = [Change("background")] if before.background != after.background else []
    for a, b in both:
        found += [Change(name, old[a], new[b]) for name in _differences(old[a], new[b])]
    lost, come = ({*range(len(side))} - {p[i] for p in both} for i, side in enumerate((old, new)))
    return [
        *found,
        *(Change("remove", old[i]) for i in sorted(lost)),
        *(Change("add", None, new[i]) for i in sorted(come)),
    ]


def _cost(a: Shape, b: Shape) -> float:
    """Of saying that `b` is `a`: small where both look and place are kept; above 3 where neither is."""
    apart = math.hypot(a.x - b.x, a.y - b.y)
    looks = (a.kind == b.kind) + (a.colour == b.colour)
    if looks == 2:
        return min(apart, 1.5) + (0 if _as_large(a.size, b) else 0.1)
    return 2 + apart - looks / 2 if apart <= PLACE else 4.0


def _differences(a: Shape, b: Shape) -> list[str]:
    differs = {
        "move": math.hypot(a.x - b.x, a.y - b.y) > 1e-6,
        "recolour": a.colour != b.colour,
        "replace": a.kind != b.kind,
        "resize": not math.isclose(a.size, b.size, rel_tol=1e-6),
    }
    return [name for name, yes in differs.items() if yes]


def _as_large(size: float, other: Shape) -> bool:
    return abs(size / other.size - 1) <= SIZE


def _done(reading: Reading, asked: Sequence[Change], after: Scene) -> list[bool]:
    """Whether each change was made."""
    true = in_picture(after)
    seen = {true[t]: reading.shapes[f] for f, t in pairs(distances(reading.shapes, true), PLACE)}
    rest = [f for f in reading.shapes if f not in seen.values()]
    return [_made(change, seen, rest, reading, after) for change in asked]


def _made(change: Change, seen: dict[Shape, Found], rest: list[Found], reading: Reading, after: Scene) -> bool:
    if change.name == "background":
        return _shade(reading, after)
    if change.after is None:
        assert change.before is not None, "one of the two is there"
        return not (distances(rest, [change.before]) <= PLACE).any()
    found = seen.get(change.after)
    if found is None:
        return False
    looks = {
        "recolour": found.colour == change.after.colour,
        "replace": found.kind == change.after.kind,
        "resize": _as_large(found.size, change.after),
        "move": (found.kind, found.colour) == (change.after.kind, change.after.colour),
        "add": _is(found, change.after),
    }
    return looks[change.name]


def _is(found: Found, shape: Shape) -> bool:
    return (found.kind, found.colour) == (shape.kind, shape.colour) and _as_large(found.size, shape)


def _kept(reading: Reading, asked: Sequence[Change], before: Scene, after: Scene) -> bool:
    """Whether all that was not to change is there, and nothing else."""
    true = in_picture(after)
    touched = [change.after for change in asked if change.after is not None]
    both = [(reading.shapes[f], true[t]) for f, t in pairs(distances(reading.shapes, true), PLACE)]
    rest = [f for f in reading.shapes if f not in [found for found, _ in both]]
    old = [change.before for change in asked if change.before is not None]
    # what was to change and did not is no success, but nothing that came in
    new = [f for f in rest if not (distances([f], old) <= PLACE).any()]
    kept = [shape for found, shape in both if shape in touched or _is(found, shape)]
    untouched = [shape for shape in true if shape not in touched]
    shade = before.background != after.background or _shade(reading, after)
    return shade and not new and all(shape in kept for shape in untouched)


def _shade(reading: Reading, scene: Scene) -> bool:
    return bool(np.abs(np.subtract(reading.background, scene.background)).max() <= SHADE)


def outside_psnr(
    images: np.ndarray | Tensor,
    before: Sequence[Scene],
    after: Sequence[Scene],
    sources: np.ndarray | Tensor | None = None,
) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, (B,), to the pictures before, where the renderings of both scenes are equal, but for
    their pixels next to others; not a number where that is nowhere."""
    old, new = render(before, images.shape[2]).images, render(after, images.shape[2]).images
    changed = _grown((old != new).any(-1))
    wrong = (as_pixels(images) - as_pixels(old if sources is None else sources)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (wrong.mean(-1) * ~changed).sum((1, 2)) / (~changed).sum((1, 2))
        return np.asarray(np.minimum(10 * np.log10(255**2 / mean), CLEANEST))


def _grown(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import maximum_filter

    return np.asarray(maximum_filter(mask, (1, 3, 3)))
