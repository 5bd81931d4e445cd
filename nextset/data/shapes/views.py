"""One scene from several cameras: shapes stand as cards on a round chequered floor, seen by pinhole cameras, by exact ray casting.

World: x to the right, y down, z ahead of the middle camera; the floor is the plane y = 0. A camera's pose (4, 4) takes world points to
its own frame (x right, y down, z ahead), and its intrinsics (3, 3) those to pixels, whose centres are at whole numbers + 1/2: with
(u, v, w) = K (R p + t), a point p is seen at (u / w, v / w). Legend: V views, S side of a picture, n points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import UsageError
from ...noise import mix
from ..batch import Stack
from .outline import FEET, distance
from .phrase import Group, listed
from .sample import CLASSES, ROUNDS, distinct
from .scene import COLOURS, REACH, RGB, TEXTURES, Shape
from .streams import Streams
from .texture import tones
from .world import DEFAULT, RADII, World

FLOOR, SKY = 1, 0  # numbers in `surfaces`; cards follow from 2 on
RADIUS, CELL = 1.9, 0.42  # of the floor, and of its chequers
ROOM = 1.0  # cards stand so near to the middle
SCALE = 2.6  # of cards, to shapes of a picture of side 1
TURN = 0.5  # radians; how far cards turn from facing the middle camera
DISTANCE, TARGET = 4.0, (0.0, -0.35, 0.0)
ARC, HEIGHT = 0.7, (0.2, 0.5)  # radians that cameras lie apart at most to either side, and above the floor
FOCAL = 1.5  # of the lens, in sides of the picture
FINE = 3  # rays to each side of a pixel's square; the middle one of the nine meets its centre


@dataclass(frozen=True)
class Card:
    """An upright shape that stands on the floor at (x, 0, z), turned by `turn` radians about the vertical."""

    shape: Shape
    x: float
    z: float
    turn: float

    @property
    def centre(self) -> np.ndarray:
        """Of the shape in the world, (3,)."""
        return np.array([self.x, -self.shape.size * FEET[self.shape.kind], self.z])

    @property
    def across(self) -> np.ndarray:
        """The card's x axis in the world, (3,); its y axis is the world's."""
        return np.array([math.cos(self.turn), 0.0, math.sin(self.turn)])

    @property
    def normal(self) -> np.ndarray:
        """(3,)."""
        return np.array([-math.sin(self.turn), 0.0, math.cos(self.turn)])


@dataclass(frozen=True)
class Pinhole:
    """Where a camera stands, by azimuth and elevation in radians around TARGET."""

    azimuth: float
    elevation: float

    @property
    def pose(self) -> np.ndarray:
        """World to camera, (4, 4)."""
        a, e = self.azimuth, self.elevation
        ahead = np.array([-math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)])
        right = np.cross([0.0, 1.0, 0.0], ahead)
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(ahead, right), ahead])
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn, -turn @ (np.array(TARGET) - DISTANCE * ahead)
        return pose


def intrinsics(side: int) -> np.ndarray:
    """Of a picture of this side, (3, 3)."""
    return np.array([[FOCAL * side, 0, side / 2], [0, FOCAL * side, side / 2], [0, 0, 1]])


@dataclass(frozen=True)
class Stage:
    """Cards on the floor before a sky (RGB), and the cameras."""

    cards: tuple[Card, ...]
    cameras: tuple[Pinhole, ...]
    sky: RGB
    caption: str
    label: int


@dataclass(frozen=True)
class Hits:
    """What rays meet: `depth` (n,), infinite for the sky; `surface` (n,); the place `x`, `y` in the surface's own frame (n,)."""

    depth: np.ndarray
    surface: np.ndarray
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Matches:
    """Where view `second` has the points that view `first` sees at its pixels' centres.

    `first` and `second` float64 (n, 2) are u, v in pixels, `points` (n, 3) the points in the world. `visible` bool (n,): the point is
    within the second picture and nothing is before it. `second` is not a number for points behind that camera.
    """

    first: np.ndarray
    second: np.ndarray
    points: np.ndarray
    visible: np.ndarray


def stage(stream: int, index: int, views: int = 3, world: World = DEFAULT) -> Stage:
    """Stage `index` of a stream: up to `world.most` cards, and cameras from left to right around them.

    Raises UsageError for fewer than one view, or more cards than the floor holds.
    """
    if views < 1:
        raise UsageError(f"views must be 1 or more, got {views}")
    rng = np.random.default_rng(mix("stage", stream, index))
    groups, cards = _standing(rng, world)
    start, end = np.sort(rng.uniform(-ARC, ARC, 2)) if views > 1 else (rng.uniform(-ARC, ARC),) * 2
    middle, half = (start + end) / 2, max((end - start) / 2, ARC / 3)
    azimuths = np.linspace(middle - half, middle + half, views) if views > 1 else [middle]
    cameras = tuple(Pinhole(float(a), float(rng.uniform(*HEIGHT))) for a in azimuths)
    sky = world.backgrounds[rng.integers(len(world.backgrounds))]
    largest = max(cards, key=lambda card: card.shape.size).shape
    caption = listed([_told(group) for group in groups])
    return Stage(cards, cameras, sky, caption, CLASSES.index(f"{largest.colour} {largest.kind}"))


def _told(group: Group) -> Group:
    return Group(1, group.kind, group.colour, group.size, None if group.texture == "plain" else group.texture)


def _standing(rng: np.random.Generator, world: World) -> tuple[list[Group], tuple[Card, ...]]:
    """Cards on the floor, apart, and their groups."""
    for _ in range(ROUNDS):
        groups = distinct(rng, int(rng.integers(1, world.most + 1)), world)
        sizes = [SCALE * RADII[g.size or "small"] * rng.uniform(1 - world.jitter, 1 + world.jitter) for g in groups]
        radius, angle = ROOM * np.sqrt(rng.random(len(groups))), rng.uniform(0, math.tau, len(groups))
        x, z, turns = radius * np.cos(angle), radius * np.sin(angle), rng.uniform(-TURN, TURN, len(groups))
        reach = [size * REACH[group.kind] for size, group in zip(sizes, groups, strict=True)]
        pairs = [(i, k) for i in range(len(groups)) for k in range(i)]
        if all(math.hypot(x[i] - x[k], z[i] - z[k]) >= 0.9 * (reach[i] + reach[k]) for i, k in pairs):
            shapes = [
                Shape(g.kind, g.colour or "white", 0.0, 0.0, size, texture=g.texture or "plain")
                for g, size in zip(groups, sizes, strict=True)
            ]
            places = zip(shapes, x.tolist(), z.tolist(), turns.tolist(), strict=True)
            return groups, tuple(Card(*place) for place in places)
    raise UsageError(f"world: its cards hardly ever fit onto the floor ({world}); lower most")


def rays(camera: Pinhole, pixels: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The camera's centre (3,) and the directions (n, 3) through places (n, 2) of its picture, one unit ahead each: depth is the factor."""
    pose, lens = camera.pose, intrinsics(side)
    seen = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(lens).T
    return -pose[:3, :3].T @ pose[:3, 3], seen @ pose[:3, :3]


def cast(cards: Sequence[Card], centre: np.ndarray, ways: np.ndarray) -> Hits:
    """What rays from `centre` (3,) along `ways` (n, 3) meet first."""
    count = len(ways)
    depth, surface = np.full(count, np.inf), np.zeros(count, dtype=np.int64)
    x, y = np.zeros(count), np.zeros(count)
    with np.errstate(divide="ignore", invalid="ignore"):  # rays along a plane never meet it
        reached = -centre[1] / ways[:, 1]
        at = centre + reached[:, None] * ways
        on = (reached > 0) & (np.hypot(at[:, 0], at[:, 2]) <= RADIUS)
        depth[on], surface[on], x[on], y[on] = reached[on], FLOOR, at[on, 0], at[on, 2]
        for number, card in enumerate(cards, FLOOR + 1):
            reached = ((card.centre - centre) @ card.normal) / (ways @ card.normal)
            at = (centre + reached[:, None] * ways - card.centre) / card.shape.size
            u, v = at @ card.across, at[:, 1]
            on = (reached > 0) & (reached < depth) & (distance(card.shape.kind, u, v) <= 0)
            depth[on], surface[on], x[on], y[on] = reached[on], number, u[on], v[on]
    return Hits(depth, surface, x, y)


def _colours(scene: Stage, hits: Hits) -> np.ndarray:
    """float32 (n, 3)."""
    sky = np.array(scene.sky, dtype=np.float32)
    found = np.tile(sky, (len(hits.depth), 1))
    floor = hits.surface == FLOOR
    odd = (np.floor(hits.x / CELL) + np.floor(hits.y / CELL)) % 2
    found[floor] = sky + 40 + 35 * odd[floor, None].astype(np.float32)
    for number, card in enumerate(scene.cards, FLOOR + 1):
        here = np.flatnonzero(hits.surface == number)
        texture = np.full(len(here), TEXTURES.index(card.shape.texture))
        sharp = np.full(len(here), 1e-3, dtype=np.float32)  # the nine rays smooth it
        tone = tones(texture, hits.x[here], hits.y[here], sharp)
        found[here] = np.array(COLOURS[card.shape.colour], dtype=np.float32) * tone[:, None]
    return found


def look(scene: Stage, view: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture uint8 (S, S, 3), depths float32 (S, S) ahead of the camera (infinite: sky) and surfaces uint8 (S, S) of one view."""
    fine = (np.arange(FINE * side) + 0.5) / FINE
    pixels = np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
    hits = cast(scene.cards, *rays(scene.cameras[view], pixels, side))
    image = _colours(scene, hits).reshape(side, FINE, side, FINE, 3).mean((1, 3))
    depth, surface = (
        values.reshape(side, FINE, side, FINE)[:, FINE // 2, :, FINE // 2] for values in (hits.depth, hits.surface)
    )
    return np.rint(image).astype(np.uint8), depth.astype(np.float32), surface.astype(np.uint8)


def matches(scene: Stage, first: int, second: int, side: int) -> Matches:
    """Every point that view `first` sees at a pixel's centre, row by row, and where view `second` has it."""
    line = np.arange(side) + 0.5
    pixels = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    centre, ways = rays(scene.cameras[first], pixels, side)
    hits = cast(scene.cards, centre, ways)
    met = np.isfinite(hits.depth)
    points = centre + hits.depth[met, None] * ways[met]
    pose = scene.cameras[second].pose
    seen = points @ pose[:3, :3].T + pose[:3, 3]
    ahead = np.where(seen[:, 2:] > 0, seen, np.nan)
    places = ahead @ intrinsics(side).T
    places = places[:, :2] / places[:, 2:]
    again = cast(scene.cards, *rays(scene.cameras[second], places, side))
    inside = ((places >= 0) & (places <= side)).all(1)
    clear = np.abs(again.depth - seen[:, 2]) < 1e-6 * seen[:, 2]
    return Matches(pixels[met], places, points, inside & clear)


@dataclass(frozen=True)
class ViewStack(Stack):
    """`images` uint8 (B, V, S, S, 3); `poses` float64 (B, V, 4, 4), world to camera; `intrinsics` float64 (B, V, 3, 3).

    `depths` float32 (B, V, S, S) ahead of the camera, infinite for the sky; `surfaces` uint8 (B, V, S, S): 0 sky, 1 floor, then cards.
    """

    poses: np.ndarray
    intrinsics: np.ndarray
    depths: np.ndarray
    surfaces: np.ndarray


class Views(Streams):
    """Scenes seen by `views` cameras; `stages` has the scenes themselves, for `matches`."""

    kind = "views"
    classes = CLASSES

    def __init__(
        self, split: str = "train", size: int = 32, count: int | None = None, world: World = DEFAULT, views: int = 3
    ) -> None:
        super().__init__(split, size, count, world)
        if views < 1:
            raise UsageError(f"views must be 1 or more, got {views}")
        self.views = views

    def stages(self, index: np.ndarray | Sequence[int]) -> list[Stage]:
        """The scenes `index` (B,)."""
        return [stage(*key, self.views, self.world) for key in self.keys(index)]

    def stack(self, index: np.ndarray) -> ViewStack:
        """The scenes `index` (B,) as seen."""
        found = self.stages(index)
        seen = [look(one, view, self.size) for one in found for view in range(self.views)]
        shape = (len(found), self.views)
        images, depths, surfaces = (np.stack(part).reshape(*shape, *part[0].shape) for part in zip(*seen, strict=True))
        labels = np.array([one.label for one in found], dtype=np.int64)
        poses = np.array([[camera.pose for camera in one.cameras] for one in found])
        lenses = np.broadcast_to(intrinsics(self.size), (*shape, 3, 3)).copy()
        return ViewStack(images, labels, [one.caption for one in found], poses, lenses, depths, surfaces)
