"""Contact sheets: what each kind of the world looks like, with its words, for people to look at.

A sheet is rows of tiles; a tile is one item's panels side by side above its text. Videos are sheets that move.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...errors import UsageError, nearest
from ..base import Dataset
from .clip import ACTIONS, Clips
from .dataset import Shapes, Truths
from .degrade import DEGRADATIONS, Degraded
from .edit import Edits
from .painting import Paintings
from .views import Views, matches
from .voxels import Voxels, drawn
from .world import DEFAULT, World

PANEL = 128  # pixels, about, that a panel is wide
MARGIN, LINE = 6, 13
PAPER, PEN = (255, 255, 255), (30, 30, 30)
WIDTH = 1100  # of a sheet, at most
SHOWN = 9  # correspondences drawn on each view
FRAMES = 24  # of a video
PACE = 90  # milliseconds a frame
MARKS = (
    (230, 70, 60),
    (70, 190, 90),
    (80, 130, 250),
    (250, 210, 60),
    (200, 90, 220),
    (80, 210, 220),
    (250, 150, 60),
    (240, 240, 240),
    (150, 150, 150),
)


@dataclass(frozen=True)
class Tile:
    """Panels uint8 (H, W, 3), side by side, above a text; a moving one has a list of panels a moment."""

    moments: Sequence[Sequence[np.ndarray]]
    text: str


def tiles(kind: str, split: str, size: int, count: int, world: World = DEFAULT) -> list[Tile]:
    """The first `count` items of one of PREVIEWS. Raises UsageError for another, and what the kind itself refuses."""
    if kind not in PREVIEWS:
        raise UsageError(f"kind: there is no {kind!r}{nearest(kind, PREVIEWS)}")
    return PREVIEWS[kind](split, size, count, world)


def item_tiles(data: Dataset, count: int) -> list[Tile]:
    """The first `count` items of any data set, with caption or class."""
    items = [data[i] for i in range(min(count, len(data)))]
    named = lambda item: data.classes[item.label] if 0 <= item.label < len(data.classes) else str(item.label)
    return [Tile([[_rgb(item.image)]], item.caption or named(item)) for item in items]


def _rgb(image: np.ndarray) -> np.ndarray:
    """Of any picture, no larger than a panel or two."""
    whole = image if image.shape[2] == 3 else image.repeat(3, 2)
    picture = Image.fromarray(whole)
    picture.thumbnail((2 * PANEL, 2 * PANEL))
    return np.asarray(picture)


def save_pages(path: Path, pages: Sequence[Image.Image]) -> None:
    """One page as PNG, several as a GIF that repeats."""
    if len(pages) == 1:
        pages[0].save(path, "PNG")
    else:
        pages[0].save(path, "GIF", save_all=True, append_images=list(pages[1:]), duration=PACE, loop=0)


def sheet(shown: Sequence[Tile]) -> list[Image.Image]:
    """The tiles on a page, once for each moment."""
    moments = max(len(tile.moments) for tile in shown)
    return [_page([_drawn(tile, min(at, len(tile.moments) - 1)) for tile in shown]) for at in range(moments)]


def _page(drawn_tiles: list[Image.Image]) -> Image.Image:
    """Tiles in rows of equal cells."""
    wide, high = (max(tile.size[axis] for tile in drawn_tiles) + MARGIN for axis in (0, 1))
    columns = max(min((WIDTH - MARGIN) // wide, len(drawn_tiles)), 1)
    rows = -(-len(drawn_tiles) // columns)
    page = Image.new("RGB", (columns * wide + MARGIN, rows * high + MARGIN), PAPER)
    for place, tile in enumerate(drawn_tiles):
        page.paste(tile, (place % columns * wide + MARGIN, place // columns * high + MARGIN))
    return page


def _drawn(tile: Tile, moment: int) -> Image.Image:
    panels = [_enlarged(panel) for panel in tile.moments[moment]]
    wide = sum(panel.width for panel in panels) + 2 * (len(panels) - 1)
    lines = _wrapped(tile.text, wide)
    high = max(panel.height for panel in panels)
    image = Image.new("RGB", (wide, high + 3 + LINE * max(len(lines), 2)), PAPER)
    at = 0
    for panel in panels:
        image.paste(panel, (at, 0))
        at += panel.width + 2
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        pen.text((0, high + 3 + LINE * number), line, PEN, font=_font())
    return image


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(11)


def _enlarged(panel: np.ndarray) -> Image.Image:
    factor = max(round(PANEL / panel.shape[1]), 1)
    return Image.fromarray(panel.repeat(factor, 0).repeat(factor, 1))


def _wrapped(text: str, wide: int) -> list[str]:
    """Lines that are at most so many pixels wide."""
    font, lines = _font(), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= wide or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


# -- the kinds


def _images(split: str, size: int, count: int, world: World) -> list[Tile]:
    stack = Shapes(split, size, count, world).stack(np.arange(count))
    return [Tile([[image]], caption) for image, caption in zip(stack.images, stack.captions, strict=True)]


def _texts(split: str, size: int, count: int, world: World) -> list[Tile]:
    return _images(split, size, count, world if world.letters else dataclasses.replace(world, letters=4))


def _edits(split: str, size: int, count: int, world: World) -> list[Tile]:
    stack = Edits(split, size, count, world).stack(np.arange(count))
    rows = zip(stack.sources, stack.images, stack.masks, stack.captions, strict=True)
    return [Tile([[before, after, _grey(mask)]], text) for before, after, mask, text in rows]


def _clips(split: str, size: int, count: int, world: World) -> list[Tile]:
    """Half of them steered, with the action as a bar on its side of the frame before."""
    stack = Clips(split, size, count - count // 2, world, FRAMES).stack(np.arange(count - count // 2))
    shown = [
        Tile([[frame] for frame in frames], text) for frames, text in zip(stack.images, stack.captions, strict=True)
    ]
    if count == 1:
        return shown
    steered = Clips(split, size, count // 2, world, FRAMES, steered=True).stack(np.arange(count // 2))
    for frames, actions, text in zip(steered.images, steered.actions.tolist(), steered.captions, strict=True):
        shown.append(Tile([[_pushed(*one)] for one in zip(frames, [*actions, 0], strict=True)], text))
    return shown


def _pushed(frame: np.ndarray, action: int) -> np.ndarray:
    sides: dict[str, Any] = {"left": np.s_[:, :1], "right": np.s_[:, -1:], "up": np.s_[:1], "down": np.s_[-1:]}
    marked, side = frame.copy(), sides.get(tuple(ACTIONS)[action])
    if side is not None:
        marked[side] = 255
    return marked


def _views(split: str, size: int, count: int, world: World) -> list[Tile]:
    """With some points of the first view marked in all."""
    data = Views(split, size, count, world)
    stack, shown = data.stack(np.arange(count)), []
    for images, stage, caption in zip(stack.images, data.stages(range(count)), stack.captions, strict=True):
        panels = [np.array(_enlarged(image)) for image in images]
        factor = len(panels[0]) // size
        found = [matches(stage, 0, view, size) for view in range(len(images))]
        everywhere = np.flatnonzero(np.all([one.visible for one in found], axis=0))
        for number, row in enumerate(np.random.default_rng(0).permutation(everywhere)[:SHOWN]):
            for panel, one in zip(panels, found, strict=True):
                x, y = (one.second[row] * factor).astype(int)
                panel[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4] = 0
                panel[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = MARKS[number % len(MARKS)]
        shown.append(Tile([panels], caption))
    return shown


def _truths(split: str, size: int, count: int, world: World) -> list[Tile]:
    stack, shown = Truths(split, size, count, world).stack(np.arange(count)), []
    for b, caption in enumerate(stack.captions):
        boxed = Image.fromarray(np.array(_enlarged(stack.images[b])))
        pen, factor = ImageDraw.Draw(boxed), boxed.width // size
        for left, top, right, bottom in (stack.boxes[b] * factor).tolist():
            if right:
                pen.rectangle((left, top, right - 1, bottom - 1), outline=PAPER)
        depth = np.rint(255 * (1 - stack.depths[b])).astype(np.uint8)
        normals = np.rint((stack.normals[b] + 1) * 127.5).astype(np.uint8)
        maps = [_indexed(stack.instances[b]), _indexed(stack.kinds[b]), _grey(depth), normals, _grey(stack.edges[b])]
        shown.append(
            Tile([[np.asarray(boxed), *maps]], f"boxes, instances, kinds, depths, normals, edges of: {caption}")
        )
    return shown


def _indexed(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers as colours, 0 black."""
    return np.array([(0, 0, 0), *MARKS], dtype=np.uint8)[np.where(numbers, (numbers - 1) % len(MARKS) + 1, 0)]


def _voxels(split: str, size: int, count: int, world: World) -> list[Tile]:
    stack = Voxels(split, size, count, world).stack(np.arange(count))
    rows = zip(stack.voxels, stack.images, stack.captions, strict=True)
    return [Tile([[drawn(grid), seen]], caption) for grid, seen, caption in rows]


def _paintings(split: str, size: int, count: int, world: World) -> list[Tile]:
    stack, shown = Paintings(split, size, count, world).stack(np.arange(count)), []
    for canvases, steps, caption in zip(stack.canvases, stack.steps, stack.captions, strict=True):
        shown.append(Tile([[*canvases, _indexed(steps)]], f"each step, and the step of each pixel: {caption}"))
    return shown


def _degraded(split: str, size: int, count: int, world: World) -> list[Tile]:
    stack, names = Degraded(split, size, count, world).stack(np.arange(count)), tuple(DEGRADATIONS)
    rows = zip(stack.sources, stack.images, stack.kinds.tolist(), stack.severities.tolist(), strict=True)
    return [Tile([[worse, image]], f"{names[kind]}, severity {severity}") for worse, image, kind, severity in rows]


def _grey(values: np.ndarray) -> np.ndarray:
    scaled = np.where(values, 255, 0).astype(np.uint8) if values.dtype == bool else values
    return np.repeat(scaled[..., None], 3, axis=-1)


PREVIEWS: dict[str, Callable[[str, int, int, World], list[Tile]]] = {
    "image": _images,
    "edit": _edits,
    "video": _clips,
    "views": _views,
    "voxels": _voxels,
    "painting": _paintings,
    "degraded": _degraded,
    "text": _texts,
    "truth": _truths,
}
