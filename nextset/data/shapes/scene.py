"""What there is to see: shapes and words on a plane with depth, their motion, and the camera that looks at them.

Coordinates are those of the picture: x to the right and y down, both in [0, 1]; depth in [0, 1] is 0 for the nearest.
"""

from __future__ import annotations

import dataclasses
import math
import string
from dataclasses import dataclass

from ...errors import UsageError, nearest

KINDS = ("circle", "square", "triangle", "star", "ring", "cross")
COLOURS = {
    "red": (225, 45, 40),
    "yellow": (245, 215, 50),
    "green": (45, 180, 75),
    "blue": (60, 105, 235),
    "purple": (175, 70, 205),
    "white": (240, 240, 240),
}
TEXTURES = ("plain", "striped", "dotted", "checked")
RGB = tuple[int, int, int]
# Distance from the centre of a shape of size 1 to its farthest point. Sizes are such that all kinds look equally large.
REACH = {
    "circle": 1.0,
    "square": 0.85 * math.sqrt(2),
    "triangle": 1.32,
    "star": 1.25,
    "ring": 1.0,
    "cross": math.hypot(1, 0.35),
}
BLACK = (18, 18, 22)
LETTERS = frozenset(string.ascii_uppercase + string.digits)


@dataclass(frozen=True)
class Shape:
    """A shape centred at (x, y), of radius `size` (1 is the picture's side), turned by `angle` radians (clockwise as seen).

    `velocity` (x, y) and `spin` are its motion per unit of time. What is not of a plain `texture` is partly of a darker colour.
    """

    kind: str
    colour: str
    x: float
    y: float
    size: float
    angle: float = 0.0
    depth: float = 0.5
    velocity: tuple[float, float] = (0.0, 0.0)
    spin: float = 0.0
    texture: str = "plain"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"kind {self.kind!r} is no shape{nearest(self.kind, KINDS)}")
        if self.colour not in COLOURS:
            raise UsageError(f"colour {self.colour!r} is not of this world{nearest(self.colour, COLOURS)}")
        if self.texture not in TEXTURES:
            raise UsageError(f"texture {self.texture!r} is not known{nearest(self.texture, TEXTURES)}")

    @property
    def reach(self) -> float:
        """Distance from the centre to the farthest point."""
        return self.size * REACH[self.kind]

    def at(self, time: float) -> Shape:
        """The shape after `time`: it moves straight on and bounces off the picture's edges."""
        x = _bounced(self.x + self.velocity[0] * time, self.reach)
        y = _bounced(self.y + self.velocity[1] * time, self.reach)
        return dataclasses.replace(self, x=x, y=y, angle=self.angle + self.spin * time)


def _bounced(place: float, margin: float) -> float:
    """`place` folded into [margin, 1 - margin]."""
    room = 1 - 2 * margin
    if room <= 0:
        return 0.5
    along = (place - margin) % (2 * room)
    return margin + min(along, 2 * room - along)


@dataclass(frozen=True)
class Lettering:
    """A word of A-Z and 0-9 in a shape's colour, centred at (x, y), whose letters are `height` high; it is before all shapes.

    Neither cameras nor time move it, like a caption in a film.
    """

    text: str
    x: float
    y: float
    height: float
    colour: str = "white"

    def __post_init__(self) -> None:
        if not self.text or set(self.text) - LETTERS:
            raise UsageError(f"text {self.text!r} must be letters of A-Z and 0-9, at least one")
        if self.colour not in COLOURS:
            raise UsageError(f"colour {self.colour!r} is not of this world{nearest(self.colour, COLOURS)}")


@dataclass(frozen=True)
class Camera:
    """Looks at (x, y), enlarged by `zoom`, rolled by `roll` radians; with `parallax` what is deep looks smaller and moves less.

    Apparent scale at depth z is zoom / (1 + parallax z). The default sees the plane as it is.
    """

    x: float = 0.5
    y: float = 0.5
    zoom: float = 1.0
    roll: float = 0.0
    parallax: float = 0.0

    def sees(self, shape: Shape) -> Shape:
        """The shape in the coordinates of this camera's picture."""
        scale = self.zoom / (1 + self.parallax * shape.depth)
        right, down = (shape.x - self.x) * scale, (shape.y - self.y) * scale
        cos, sin = math.cos(-self.roll), math.sin(-self.roll)
        x, y = 0.5 + cos * right - sin * down, 0.5 + sin * right + cos * down
        return dataclasses.replace(shape, x=x, y=y, size=shape.size * scale, angle=shape.angle - self.roll)


@dataclass(frozen=True)
class Scene:
    """Shapes before a background (RGB), seen by a camera at one moment.

    The background turns evenly into the colour `floor` towards the bottom, where there is one. `words` are written over all.
    """

    shapes: tuple[Shape, ...]
    background: RGB = BLACK
    camera: Camera = Camera()
    floor: RGB | None = None
    words: tuple[Lettering, ...] = ()

    def at(self, time: float) -> Scene:
        """The scene after `time`."""
        return dataclasses.replace(self, shapes=tuple(shape.at(time) for shape in self.shapes))

    def drawing_order(self) -> tuple[int, ...]:
        """Indices of the shapes from back to front; equally deep ones as listed."""
        return tuple(sorted(range(len(self.shapes)), key=lambda i: -self.shapes[i].depth))
