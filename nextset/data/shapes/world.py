"""How hard the world is: one object that says what scenes may hold."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ...errors import UsageError
from .scene import RGB, TEXTURES

RADII = {"small": 0.115, "large": 0.19}
GAP = 0.07  # between shapes: two pixels at 32
EDGE = 0.02
BACKGROUNDS = ((18, 18, 22), (40, 44, 58), (58, 46, 40))
LETTERS_MOST = 5  # a word of five fills a picture of 32 pixels, one pixel a dot


@dataclass(frozen=True)
class World:
    """The default is the world that systems and classifiers were trained on; every field makes another one.

    `most` (1 to 6) shapes of a scene that its caption tells of, and up to `distractors` (0 to 6) small ones of other looks, which the
    caption leaves out: it stays true, but "two circles" are no longer all that there is. Each look has one of `textures`. Sizes differ
    by at most the fraction `jitter` (to 0.19, where small and large meet) from their word's radius, angles by `tilt` radians from
    upright. Shapes are apart; with `overlap` (to 0.5) their centres come closer by that fraction. Backgrounds are of `backgrounds`
    (RGB), with `fades` turning into another of them. With `letters` (to 5) there is a word of 1 to so many at the bottom or the top.
    """

    most: int = 3
    textures: tuple[str, ...] = ("plain",)
    jitter: float = 0.07
    tilt: float = 0.25
    overlap: float = 0.0
    distractors: int = 0
    backgrounds: tuple[RGB, ...] = BACKGROUNDS
    fades: bool = False
    letters: int = 0

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
