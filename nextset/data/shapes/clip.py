"""Videos: shapes that move straight on and bounce, the nearer before the farther; in steered ones actions move one shape.

A clip's class is the direction in which its first shape sets out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import UsageError
from ...noise import mix
from ..batch import Stack
from .phrase import Group, listed
from .render import pictures
from .sample import backdrop, scattered
from .scene import Scene, Shape
from .streams import Streams
from .world import DEFAULT, World

_SLANT = 2**-0.5
MOTIONS = {
    "right": (1.0, 0.0),
    "down right": (_SLANT, _SLANT),
    "down": (0.0, 1.0),
    "down left": (-_SLANT, _SLANT),
    "left": (-1.0, 0.0),
    "up left": (-_SLANT, -_SLANT),
    "up": (0.0, -1.0),
    "up right": (_SLANT, -_SLANT),
}
PACES = {"slowly": 0.025, "quickly": 0.06}  # sides of the picture a frame
ACTIONS = {"stay": (0.0, 0.0), "left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
STRIDE = 0.06  # of an action
HOLD = 0.6  # chance that an action is the one before


@dataclass(frozen=True)
class Clip:
    """A scene a frame; `actions` are places in ACTIONS, the k-th leads from frame k to k + 1; empty where nothing is steered.

    `label` is a place in MOTIONS, or -1 for a steered clip. In a steered clip shape 0 is steered, and is the nearest.
    """

    scenes: tuple[Scene, ...]
    actions: tuple[int, ...]
    caption: str
    label: int


def clip(stream: int, index: int, frames: int = 8, world: World = DEFAULT, steered: bool = False) -> Clip:
    """Clip `index` of a stream: up to `world.most` shapes, apart in the first frame, which later pass before each other."""
    if frames < 2:
        raise UsageError(f"frames must be 2 or more, got {frames}")
    rng = np.random.default_rng(mix("clip", stream, index))
    groups, shapes = scattered(rng, world, 1, world.most)
    ways = [tuple(MOTIONS)[i] for i in rng.integers(len(MOTIONS), size=len(shapes))]
    paces = [tuple(PACES)[i] for i in rng.integers(len(PACES), size=len(shapes))]
    moving = tuple(_set_out(*one) for one in zip(shapes, ways, paces, strict=True))
    first = backdrop(rng, moving, world)
    told = [f"{_named(g)} moves {pace} {way}" for g, way, pace in zip(groups, ways, paces, strict=True)]
    if not steered:
        scenes = tuple(first.at(float(time)) for time in range(frames))
        return Clip(scenes, (), listed(told), tuple(MOTIONS).index(ways[0]))
    actions = _actions(rng, frames - 1)
    steerable = dataclasses.replace(moving[0], velocity=(0.0, 0.0), depth=0.0)
    start = dataclasses.replace(first, shapes=(steerable, *moving[1:]))
    return Clip(steer(start, actions), actions, listed([f"{_named(groups[0])} is steered", *told[1:]]), -1)


def steer(scene: Scene, actions: Sequence[int], shape: int = 0) -> tuple[Scene, ...]:
    """The scene and what follows from each action on `shape`, while the others move on: so any course can be tried.

    An action moves the shape by STRIDE, at most to the picture's edge. Raises UsageError for what is no place in ACTIONS.
    """
    wrong = [action for action in actions if not 0 <= action < len(ACTIONS)]
    if wrong:
        raise UsageError(f"actions must be 0 to {len(ACTIONS) - 1}, got {wrong[0]}")
    mine, scenes = scene.shapes[shape], [scene]
    for time, action in enumerate(actions, 1):
        right, down = tuple(ACTIONS.values())[action]
        x, y = mine.x + STRIDE * right, mine.y + STRIDE * down
        x, y = (min(max(place, mine.reach), 1 - mine.reach) for place in (x, y))
        mine = dataclasses.replace(mine, x=x, y=y)
        others = scene.at(float(time)).shapes
        scenes.append(dataclasses.replace(scene, shapes=(*others[:shape], mine, *others[shape + 1 :])))
    return tuple(scenes)


def _set_out(shape: Shape, way: str, pace: str) -> Shape:
    right, down = MOTIONS[way]
    return dataclasses.replace(shape, velocity=(PACES[pace] * right, PACES[pace] * down), spin=0.0)


def _named(group: Group) -> str:
    return str(dataclasses.replace(group, texture=None) if group.texture == "plain" else group)


def _actions(rng: np.random.Generator, count: int) -> tuple[int, ...]:
    """At random, each held for a while."""
    fresh, held = rng.integers(len(ACTIONS), size=count).tolist(), rng.random(count) < HOLD
    actions = fresh[:1]
    for new, hold in zip(fresh[1:], held[1:], strict=True):
        actions.append(actions[-1] if hold else new)
    return tuple(actions)


@dataclass(frozen=True)
class ClipStack(Stack):
    """`images` uint8 (B, T, S, S, 3); `actions` int64 (B, T - 1), -1 where nothing is steered."""

    actions: np.ndarray


class Clips(Streams):
    """Videos of `frames` pictures, with one shape steered by actions or all left alone."""

    kind = "clips"
    classes = tuple(MOTIONS)

    def __init__(
        self,
        split: str = "train",
        size: int = 32,
        count: int | None = None,
        world: World = DEFAULT,
        frames: int = 8,
        steered: bool = False,
    ) -> None:
        super().__init__(split, size, count, world)
        if frames < 2:
            raise UsageError(f"frames must be 2 or more, got {frames}")
        self.frames, self.steered = frames, steered

    def stack(self, index: np.ndarray) -> ClipStack:
        """The clips `index` (B,)."""
        found = [clip(*key, self.frames, self.world, self.steered) for key in self.keys(index)]
        images = pictures([scene for one in found for scene in one.scenes], self.size)
        actions = [one.actions or (-1,) * (self.frames - 1) for one in found]
        return ClipStack(
            images.reshape(len(found), self.frames, *images.shape[1:]),
            np.array([one.label for one in found], dtype=np.int64),
            [one.caption for one in found],
            np.array(actions, dtype=np.int64).reshape(len(found), self.frames - 1),
        )
