"""Sides of maps for pictures of fifteen shapes, from 1x1 to about a million pixels at 16 pixels a site (Infinity, arXiv 2412.04431).

A template is named after height / width. Its first 7 maps are those of 256 x 256 pixels in all, 10 of 512, 12 of 768, 13 of 1024.
"""

from __future__ import annotations

from ..errors import UsageError

Sides = tuple[tuple[int, int], ...]


def _tall(heights: tuple[int, ...], widths: tuple[int, ...]) -> Sides:
    return tuple(zip(heights, widths, strict=True))


_SQUARE = (1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64)
_TALL = {
    1.25: _tall((1, 2, 3, 5, 10, 15, 20, 25, 30, 35, 45, 55, 70), (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 36, 44, 56)),
    1.333: _tall((1, 2, 4, 8, 12, 16, 20, 24, 28, 36, 48, 60, 72), (1, 2, 3, 6, 9, 12, 15, 18, 21, 27, 36, 45, 54)),
    1.5: _tall((1, 2, 3, 6, 9, 15, 21, 27, 33, 39, 48, 63, 78), (1, 2, 2, 4, 6, 10, 14, 18, 22, 26, 32, 42, 52)),
    1.75: _tall((1, 2, 3, 7, 11, 14, 21, 28, 35, 42, 56, 70, 84), (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48)),
    2.0: _tall((1, 2, 4, 6, 10, 16, 22, 30, 38, 46, 60, 74, 90), (1, 2, 2, 3, 5, 8, 11, 15, 19, 23, 30, 37, 45)),
    2.5: _tall((1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 65, 80, 100), (1, 2, 2, 4, 6, 8, 10, 12, 16, 20, 26, 32, 40)),
    3.0: _tall((1, 2, 6, 9, 15, 21, 27, 36, 45, 54, 72, 90, 111), (1, 2, 2, 3, 5, 7, 9, 12, 15, 18, 24, 30, 37)),
}
TEMPLATES: dict[float, Sides] = {
    1.0: _tall(_SQUARE, _SQUARE),
    **_TALL,
    **{1 / shape: tuple((width, height) for height, width in sides) for shape, sides in _TALL.items()},
}
FINEST = tuple(sides[-1] for sides in TEMPLATES.values())
AREAS = {
    "0.06M": 7,
    "0.25M": 10,
    "0.60M": 12,
    "1M": 13,
}  # how many maps pictures of so many pixels have, by the official names


def template(shape: float, area: str = "1M") -> Sides:
    """The maps of the template whose height / width is nearest to `shape`, for pictures of an `area` of `AREAS`."""
    return TEMPLATES[min(TEMPLATES, key=lambda known: abs(known - shape))][: AREAS[area]]


def ending(height: int, width: int) -> Sides:
    """The maps of the first template that has one of (height, width), up to that one. Raises UsageError where none has."""
    for sides in TEMPLATES.values():
        if (height, width) in sides:
            return sides[: sides.index((height, width)) + 1]
    raise UsageError(
        f"no template has maps of {height}x{width} sites; of nearly this shape there are "
        + ", ".join(f"{h}x{w}" for h, w in template(height / width)[-4:])
    )
