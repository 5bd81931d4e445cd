"""Pairs of pictures before and after an edit, and the instruction that leads from one to the other.

Every instruction has exactly one result, so it can be carried out on a scene. Grammar, where NAME is "the [size] [texture] [colour]
kind" and fits one shape of the scene:

    make NAME COLOUR | SIZE | TEXTURE          turn NAME into a KIND          remove NAME
    move NAME to the left|right|top|bottom edge                               swap NAME and NAME
    add a SIZE [TEXTURE] COLOUR KIND in the top|bottom left|right corner, or: in the middle
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import UsageError, nearest
from ...noise import mix
from ..batch import Stack
from .phrase import SIZES, Group, group
from .render import pictures
from .sample import ROUNDS, backdrop, scattered
from .scene import COLOURS, KINDS, TEXTURES, Scene, Shape
from .streams import Streams
from .world import DEFAULT, EDGE, GAP, RADII, World, size_word

EDITS = ("recolour", "retype", "retexture", "resize", "move", "remove", "add", "swap")
EDGES = ("left", "right", "top", "bottom")
SPOTS = {
    "in the top left corner": (0, 0),
    "in the top right corner": (1, 0),
    "in the bottom left corner": (0, 1),
    "in the bottom right corner": (1, 1),
    "in the middle": (0.5, 0.5),
}
LEAST_MOVE = 0.15  # sides of the picture
FRONT = 0.0  # depth of what is added


@dataclass(frozen=True)
class Edit:
    """One of EDITS, carried out."""

    kind: str
    before: Scene
    after: Scene
    instruction: str


def edit(stream: int, index: int, world: World = DEFAULT, kinds: Sequence[str] = ()) -> Edit:
    """Edit `index` of a stream, of one of `kinds` (all that the world allows): the shapes before and after fit the world.

    Raises UsageError for kinds that are not known or that the world does not allow.
    """
    possible = _possible(world, kinds)
    rng = np.random.default_rng(mix("edit", stream, index))
    kind = possible[rng.integers(len(possible))]
    for _ in range(ROUNDS):
        before = _scene(rng, kind, world)
        instruction = _instruction(rng, kind, before.shapes, world)
        after = carry_out(before, instruction)
        if _far(before.shapes, after.shapes) and _fits(after.shapes, world):
            return Edit(kind, before, after, instruction)
    raise UsageError(f"world: hardly any edit {kind!r} fits into it ({world}); lower most, or raise overlap")


def changed(edited: Edit, side: int) -> np.ndarray:
    """The pixels that differ, bool (side, side)."""
    before, after = pictures([edited.before, edited.after], side)
    return np.asarray((before != after).any(-1))


def carry_out(scene: Scene, instruction: str) -> Scene:
    """The scene after an instruction of the grammar. Raises UsageError for other words, and names that do not fit one shape."""
    text = " ".join(instruction.lower().strip(" .").split())
    for pattern, act in _ACTS:
        match = pattern.fullmatch(text)
        if match:
            return replace(scene, shapes=act(scene.shapes, *match.groups()))
    raise UsageError(f"instruction {instruction!r} is none; it should be like 'make the red circle blue'")


def name_of(shape: Shape, shapes: Sequence[Shape]) -> str:
    """The shortest name that only this shape of `shapes` has. Raises UsageError where it has a twin."""
    look = Group(1, shape.kind, shape.colour)
    for size, texture in itertools.product((None, size_word(shape.size)), (None, shape.texture)):
        named = replace(look, size=size, texture=texture)
        if sum(_is(other, named) for other in shapes) == 1:
            return _the(named)
    raise UsageError(f"shape {_the(named)!r} has a twin, so that no name means it alone")


def _possible(world: World, kinds: Sequence[str]) -> list[str]:
    for kind in kinds:
        if kind not in EDITS:
            raise UsageError(f"kinds: there is no edit {kind!r}{nearest(kind, EDITS)}")
    barred = {"swap": world.most < 2, "retexture": len(set(world.textures)) < 2}
    possible = [kind for kind in kinds or EDITS if not barred.get(kind)]
    if not possible:
        raise UsageError(f"kinds: {', '.join(kinds)} need most >= 2 (swap), or two textures (retexture), of the world")
    return possible


def _scene(rng: np.random.Generator, kind: str, world: World) -> Scene:
    """Shapes of which no two have kind and colour in common."""
    least, most = {"add": (0, world.most - 1), "swap": (2, world.most)}.get(kind, (1, world.most))
    return backdrop(rng, scattered(rng, world, least, most)[1], world)


def _instruction(rng: np.random.Generator, kind: str, shapes: tuple[Shape, ...], world: World) -> str:
    pick = lambda options: options[int(rng.integers(len(options)))]
    if kind == "add":
        texture = pick(world.textures)
        new = Group(1, pick(KINDS), pick(tuple(COLOURS)), pick(SIZES), None if texture == "plain" else texture)
        return f"add {new} {pick(tuple(SPOTS))}"
    chosen, *others = (shapes[i] for i in rng.permutation(len(shapes)))
    name = name_of(chosen, shapes)
    if kind == "swap":
        return f"swap {name} and {name_of(others[0], shapes)}"
    if kind in ("move", "remove"):
        return f"remove {name}" if kind == "remove" else f"move {name} to the {pick(EDGES)} edge"
    if kind == "retype":
        return f"turn {name} into a {pick([k for k in KINDS if k != chosen.kind])}"
    if kind == "resize":
        return f"make {name} {'small' if size_word(chosen.size) == 'large' else 'large'}"
    values, old = (tuple(COLOURS), chosen.colour) if kind == "recolour" else (world.textures, chosen.texture)
    return f"make {name} {pick([value for value in values if value != old])}"


def _far(before: tuple[Shape, ...], after: tuple[Shape, ...]) -> bool:
    """Whether something is new, or all that moved went LEAST_MOVE at least."""
    if len(before) != len(after):
        return True
    steps = [abs(a.x - b.x) + abs(a.y - b.y) for a, b in zip(before, after, strict=True)]
    return before != after and all(step == 0 or step >= LEAST_MOVE for step in steps)


def _fits(shapes: tuple[Shape, ...], world: World) -> bool:
    """Whether all are inside, apart as the world has it, and no two of one kind and colour."""
    inside = all(s.reach <= min(s.x, s.y) and max(s.x, s.y) <= 1 - s.reach for s in shapes)
    pairs = [(a, b) for i, a in enumerate(shapes) for b in shapes[:i]]
    apart = all(
        np.hypot(a.x - b.x, a.y - b.y) >= (a.reach + b.reach + GAP) * (1 - world.overlap)
        and (a.kind, a.colour) != (b.kind, b.colour)
        for a, b in pairs
    )
    return inside and apart


def _is(shape: Shape, named: Group) -> bool:
    asked = (named.colour, named.size, named.texture)
    has = (shape.colour, size_word(shape.size), shape.texture)
    return shape.kind == named.kind and all(want in (None, value) for want, value in zip(asked, has, strict=True))


def _the(named: Group) -> str:
    return "the " + str(named).removeprefix("a ")


# -- what each sentence does: the shapes, then the parts of the sentence, to the shapes

Shapes = tuple[Shape, ...]


def _found(shapes: Shapes, name: str) -> int:
    """The place of the one shape of this name."""
    places = [i for i, shape in enumerate(shapes) if _is(shape, group(name, name))]
    if len(places) != 1:
        raise UsageError(f"instruction: {'several shapes are' if places else 'no shape is'} {name!r}; name one")
    return places[0]


def _with(shapes: Shapes, place: int, **changes: object) -> Shapes:
    new = dataclasses.replace(shapes[place], **changes)  # type: ignore[arg-type]
    return (*shapes[:place], new, *shapes[place + 1 :])


def _make(shapes: Shapes, name: str, value: str) -> Shapes:
    place = _found(shapes, name)
    if value in SIZES:
        return _with(shapes, place, size=RADII[value])
    return _with(shapes, place, **{"colour" if value in COLOURS else "texture": value})


def _turn(shapes: Shapes, name: str, kind: str) -> Shapes:
    return _with(shapes, _found(shapes, name), kind=kind)


def _move(shapes: Shapes, name: str, edge: str) -> Shapes:
    place = _found(shapes, name)
    margin = shapes[place].reach + EDGE
    target = margin if edge in ("left", "top") else 1 - margin
    return _with(shapes, place, **{"x" if edge in ("left", "right") else "y": target})


def _remove(shapes: Shapes, name: str) -> Shapes:
    place = _found(shapes, name)
    return (*shapes[:place], *shapes[place + 1 :])


def _add(shapes: Shapes, look: str, spot: str) -> Shapes:
    new = group(look, look)
    shape = Shape(
        new.kind,
        new.colour or "white",
        0.5,
        0.5,
        RADII[new.size or "small"],
        0.0,
        FRONT,
        texture=new.texture or "plain",
    )
    margin = shape.reach + EDGE
    x, y = (margin + share * (1 - 2 * margin) for share in SPOTS[spot])
    return (*shapes, replace(shape, x=x, y=y))


def _swap(shapes: Shapes, first: str, second: str) -> Shapes:
    i, k = _found(shapes, first), _found(shapes, second)
    moved = _with(shapes, i, x=shapes[k].x, y=shapes[k].y)
    return _with(moved, k, x=shapes[i].x, y=shapes[i].y)


_VALUES = "|".join((*COLOURS, *SIZES, *TEXTURES))
_ACTS = (
    (re.compile(rf"make the (.+) ({_VALUES})"), _make),
    (re.compile(rf"turn the (.+) into an? ({'|'.join(KINDS)})"), _turn),
    (re.compile(rf"move the (.+) to the ({'|'.join(EDGES)}) edge"), _move),
    (re.compile(r"remove the (.+)"), _remove),
    (re.compile(rf"add (.+) ({'|'.join(SPOTS)})"), _add),
    (re.compile(r"swap the (.+) and the (.+)"), _swap),
)


# -- the data set


@dataclass(frozen=True)
class EditStack(Stack):
    """`images` uint8 (B, S, S, 3) after the edit, `captions` are the instructions, `labels` places in EDITS.

    `sources` are the pictures before, and `masks` bool (B, S, S) the pixels in which the two differ.
    """

    sources: np.ndarray
    masks: np.ndarray


class Edits(Streams):
    """Pairs of pictures and instructions, of all kinds that the world allows."""

    kind = "edits"
    classes = EDITS

    def stack(self, index: np.ndarray) -> EditStack:
        """The pairs `index` (B,)."""
        found = [edit(*key, self.world) for key in self.keys(index)]
        before, after = (pictures([getattr(e, when) for e in found], self.size) for when in ("before", "after"))
        labels = np.array([EDITS.index(e.kind) for e in found], dtype=np.int64)
        return EditStack(after, labels, [e.instruction for e in found], before, (before != after).any(-1))
