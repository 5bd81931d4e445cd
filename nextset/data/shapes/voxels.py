"""Scenes of solids on a grid: which voxels are full, and of which colour. Axes: x to the right, y away from who looks, z up.

A voxel is full where its centre is inside a solid. Solids stand on the floor z = 0 or, one at most, on top of another one, and
do not meet. Legend: G voxels a side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...errors import UsageError, nearest
from ...noise import mix
from ..batch import Stack
from .sample import ROUNDS
from .scene import COLOURS
from .streams import Streams
from .world import DEFAULT, World

HALVES = {"small": 0.17, "large": 0.24}  # half a solid's extent along each axis; the grid's is 1/2
SPACE = 0.05  # least distance of bounding boxes
BESIDE = ("left of", "right of", "in front of", "behind")
RING, TUBE = 0.68, 0.32  # of a ring, in halves
SKY, FLOOR = (18, 18, 22), (44, 46, 54)
FADE = 0.55  # what is left of a colour at the far end, in `front`


@dataclass(frozen=True)
class Solid:
    """A solid centred at (x, y, z) in [0, 1], which fills a cube of twice `half`, up to its form."""

    kind: str
    colour: str
    x: float
    y: float
    z: float
    half: float

    def __post_init__(self) -> None:
        if self.kind not in SOLIDS:
            raise UsageError(f"kind {self.kind!r} is no solid{nearest(self.kind, SOLIDS)}")
        if self.colour not in COLOURS:
            raise UsageError(f"colour {self.colour!r} is not of this world{nearest(self.colour, COLOURS)}")


@dataclass(frozen=True)
class Solids:
    """Solids with what is true of them; `label` is a place in SOLID_CLASSES, that of the first one."""

    solids: tuple[Solid, ...]
    caption: str
    label: int


def solids(stream: int, index: int, world: World = DEFAULT) -> Solids:
    """Scene `index` of a stream: one solid, or two (if `world.most` allows) and how the first lies to the second."""
    rng = np.random.default_rng(mix("solids", stream, index))
    count = int(rng.integers(1, min(world.most, 2) + 1))
    looks = rng.permutation(len(SOLID_CLASSES))[:count].tolist()
    for _ in range(ROUNDS):
        sizes = [tuple(HALVES)[i] for i in rng.integers(2, size=count)]
        halves = [HALVES[size] * float(rng.uniform(1 - world.jitter, 1)) for size in sizes]
        places = [(*(half + (1 - 2 * half) * rng.random(2)), half) for half in halves]
        on_top = count == 2 and rng.random() < 0.25
        if on_top:
            places[0] = (*places[1][:2], 2 * halves[1] + halves[0])
        if count == 1 or (on_top and _carries(looks, halves)) or (not on_top and _relation(places, halves)):
            break
    else:
        raise UsageError(f"world: its solids hardly ever fit onto the grid ({world}); lower jitter")
    found = tuple(
        Solid(*_look(look), float(x), float(y), float(z), half)
        for look, (x, y, z), half in zip(looks, places, halves, strict=True)
    )
    told = [f"a {size} {solid.colour} {solid.kind}" for size, solid in zip(sizes, found, strict=True)]
    relation = "" if count == 1 else " on top of " if on_top else f" {_relation(places, halves)} "
    return Solids(found, relation.join(told), looks[0])


def _look(label: int) -> tuple[str, str]:
    """Kind and colour."""
    return tuple(SOLIDS)[label // len(COLOURS)], tuple(COLOURS)[label % len(COLOURS)]


def _carries(looks: list[int], halves: list[float]) -> bool:
    """Whether the first can stand on the second: that is flat on top, and not smaller."""
    return _look(looks[1])[0] in FLAT and halves[0] <= halves[1]


def _relation(places: list[tuple[float, ...]], halves: list[float]) -> str:
    """How the first box lies to the second, along the axis of the longer step; "" where they are not apart along it."""
    steps = [a - b for a, b in zip(places[0][:2], places[1][:2], strict=True)]
    axis = int(abs(steps[1]) > abs(steps[0]))
    apart = abs(steps[axis]) >= sum(halves) + SPACE
    return BESIDE[2 * axis + int(steps[axis] > 0)] if apart else ""


def voxels(scene: Solids, side: int) -> np.ndarray:
    """What fills each voxel [x, y, z], uint8 (G, G, G): 0 nothing, else 1 + the colour's place in COLOURS."""
    found = np.zeros((side,) * 3, dtype=np.uint8)
    centres = (np.arange(side) + 0.5) / side
    for solid in scene.solids:
        axes = [(centres - at) / solid.half for at in (solid.x, solid.y, solid.z)]
        inside = SOLIDS[solid.kind](*np.meshgrid(*axes, indexing="ij"))
        found[inside] = tuple(COLOURS).index(solid.colour) + 1
    return found


def front(grid: np.ndarray) -> np.ndarray:
    """The grid seen from the front, each ray along y: uint8 (G, G, 3), darker where it is farther; the top row is the highest z."""
    side = len(grid)
    full = grid > 0
    depth = np.where(full.any(1), full.argmax(1), side)  # (x, z)
    seen = np.take_along_axis(grid, np.minimum(depth, side - 1)[:, None], 1)[:, 0]
    inks = np.array([SKY, *COLOURS.values()], dtype=np.float32)[seen]
    shade = np.where(depth < side, 1 - (1 - FADE) * depth / side, 1.0)
    return np.rint(inks * shade[..., None]).astype(np.uint8).transpose(1, 0, 2)[::-1]


def drawn(grid: np.ndarray, scale: int = 4) -> np.ndarray:
    """The grid on its floor from the front right and above, in parallel projection: uint8 (2 G scale, 2 G scale, 3).

    A voxel's edge along x is (scale, scale / 2) pixels to the right and down, along y (scale, -scale / 2), along z (0, -scale), so
    `scale` must be even. Three shades tell the sides.
    """
    if scale < 2 or scale % 2:
        raise UsageError(f"scale must be an even number of pixels, got {scale}")
    side = len(grid)
    image = np.full((2 * side * scale, 2 * side * scale, 3), SKY, dtype=np.uint8)
    inks = np.array([FLOOR, *COLOURS.values()], dtype=np.float32)
    whole = np.pad(
        np.concatenate([np.zeros((side, side, 1), grid.dtype), grid], axis=2), 1
    )  # the floor is a layer of zeros
    faces = _faces(scale)
    order = np.stack(np.meshgrid(np.arange(side)[::-1], np.arange(side), np.arange(-1, side), indexing="ij"), -1)
    for y, x, z in order.reshape(-1, 3).tolist():  # from the back to the front, from the left, from below
        value = int(whole[x + 1, y + 1, z + 2])
        if not value and z >= 0:
            continue
        left, top = (x + y) * scale, (3 * side + x - y - 2 * (z + 1) - 1) * scale // 2
        hidden = whole[x + 1, y, z + 2], whole[x + 2, y + 1, z + 2], whole[x + 1, y + 1, z + 3]
        for before, (rows, columns, shade) in zip(hidden, faces, strict=True):
            if not before and (z >= 0 or shade == 1):
                image[top + rows, left + columns] = inks[value] * shade
    return image


def _faces(scale: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Rows, columns and shade of the faces of a voxel in the box (2 scale, 2 scale) around it: front, right, top."""
    down, right = np.mgrid[: 2 * scale, : 2 * scale] + 0.5
    roof = scale / 2 + np.minimum(right, 2 * scale - right) / 2  # where the top face ends
    below = (down > roof) & (down <= roof + scale)
    top = (down <= roof) & (down > scale - roof)
    faces = ((below & (right < scale), 0.8), (below & (right > scale), 0.6), (top, 1.0))
    return [(*face.nonzero(), shade) for face, shade in faces]


def _ball(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.asarray(x * x + y * y + z * z <= 1)


def _cube(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.maximum(np.maximum(np.abs(x), np.abs(y)), np.abs(z)) <= 1


def _cylinder(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return (np.hypot(x, y) <= 1) & (np.abs(z) <= 1)


def _cone(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return (np.hypot(x, y) <= (1 - z) / 2) & (np.abs(z) <= 1)


def _pyramid(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return (np.maximum(np.abs(x), np.abs(y)) <= (1 - z) / 2) & (np.abs(z) <= 1)


def _ring(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.hypot(np.hypot(x, z) - RING, y) <= TUBE


SOLIDS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "ball": _ball,
    "cube": _cube,
    "cylinder": _cylinder,
    "cone": _cone,
    "pyramid": _pyramid,
    "ring": _ring,
}
FLAT = ("cube", "cylinder")  # on top
SOLID_CLASSES = tuple(f"{colour} {kind}" for kind in SOLIDS for colour in COLOURS)


@dataclass(frozen=True)
class VoxelStack(Stack):
    """`voxels` uint8 [B, x, y, z] (B, G, G, G): 0 nothing, else 1 + the colour's place in COLOURS; `images` (B, G, G, 3) is their `front`."""

    voxels: np.ndarray


class Voxels(Streams):
    """Scenes of one or two solids on a grid of `size` voxels a side, with captions and 36 classes (kind and colour of the first)."""

    kind = "voxels"
    classes = SOLID_CLASSES

    def __init__(self, split: str = "train", size: int = 16, count: int | None = None, world: World = DEFAULT) -> None:
        super().__init__(split, size, count, world)

    def stack(self, index: np.ndarray) -> VoxelStack:
        """The scenes `index` (B,)."""
        found = [solids(*key, self.world) for key in self.keys(index)]
        grids = np.stack([voxels(scene, self.size) for scene in found])
        labels = np.array([scene.label for scene in found], dtype=np.int64)
        return VoxelStack(np.stack([front(grid) for grid in grids]), labels, [s.caption for s in found], grids)
