"""How hard the world is: one object that says what scenes may hold."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ...errors import UsageError
from .scene import RGB, TEXTURES

RADII = {"small": 0.115, "large": 0.19}
BOUNDARY = sum(RADII.values()) / 2  # between small and large
GAP = 0.07  # between shapes: two pixels at 32
EDGE = 0.02
BACKGROUNDS = ((18, 18, 22), (40, 44, 58), (58, 46, 40))
LETTERS_MOST = 5  # a word of five fills a picture of 32 pixels, one pixel a dot


def size_word(size: float) -> str:
    """Small or large, of a radius in sides of the picture."""
    return "small" if size < BOUNDARY else "large"


@dataclass(frozen=True)
class World:
    """The default is the world that systems and classifiers were trained on; every field makes another one."""

    most: int = 3
    """Shapes of a scene that its caption tells of, at most: 1 to 6."""
    textures: tuple[str, ...] = ("plain",)
    """What shapes look like, of plain, striped, dotted, checked."""
    jitter: float = 0.07
    """By which fraction sizes differ at most from their word's radius, to 0.19, where small and large meet."""
    tilt: float = 0.25
    """Radians that shapes lean at most."""
    overlap: float = 0.0
    """By which fraction shapes come closer than apart, to 0.5."""
    distractors: int = 0
    """Small shapes, at most, that captions leave out (to 6): these stay true, but "two circles" are no longer all that there is."""
    backgrounds: tuple[RGB, ...] = BACKGROUNDS
    """Colours of backgrounds."""
    fades: bool = False
    """Backgrounds turn into another colour towards the bottom."""
    letters: int = 0
    """Letters, at most, of a word at the top or the bottom (to 5); 0: none."""

    def __post_init__(self) -> None:
        wrong = [
            f"{name} must be {low} to {high}, got {value!r}"
            for name, (low, high) in _RANGES.items()
            if not low <= (value := getattr(self, name)) <= high
        ]
        if not self.textures or set(self.textures) - set(TEXTURES):
            wrong.append(f"textures must be of {', '.join(TEXTURES)}, got {self.textures!r}")
        if not self.backgrounds:
            wrong.append("backgrounds must be at least one RGB colour")
        if wrong:
            raise UsageError("world: " + "; ".join(wrong))

    def __str__(self) -> str:
        """What differs from the default, as in `most=2, fades=True`; nothing for the default itself."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if getattr(self, f.name) != f.default}
        return ", ".join(f"{name}={value!r}" for name, value in values.items())


_RANGES: dict[str, tuple[float, float]] = {
    "most": (1, 6),
    "jitter": (0, 0.19),
    "tilt": (0, 3.2),
    "overlap": (0, 0.5),
    "distractors": (0, 6),
    "letters": (0, LETTERS_MOST),
}
DEFAULT = World()
