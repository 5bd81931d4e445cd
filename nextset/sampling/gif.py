"""A picture being written, as a moving one. Legend: B, C, H, W as everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image
from torch import Tensor

from ..errors import UsageError
from ..evaluate.samples import grid_image
from ..files import write_atomically
from ..partial import Partial

SHOWN = 256  # pixels that a small picture is enlarged to


def frames(partials: Iterable[Partial], most: int = 64) -> Iterator[Tensor]:
    """Pictures (B, C, H, W) after at most `most` of the steps of `Model.stream`, evenly spread; the last step is always one."""
    if most < 1:
        raise UsageError(f"most must be at least 1, got {most}")
    for partial in partials:
        if partial.step * most // partial.steps > (partial.step - 1) * most // partial.steps:
            yield partial.images()


def save_gif(
    frames: Iterable[Tensor], path: str | Path, scale: int | None = None, fps: float = 12.0, hold: float = 2.0
) -> None:
    """Writes frames (B, C, H, W) in [-1, 1] as a GIF, atomically, several pictures as a grid; the last stays `hold` seconds.

    Each pixel is `scale` wide (default: small pictures up to 256 pixels); `fps` frames are shown a second.
    """
    if not 0 < fps <= 50:
        raise UsageError(f"fps must be in (0, 50], got {fps}")
    pictures = [_picture(frame, scale) for frame in frames]
    if not pictures:
        raise UsageError("frames: a GIF needs at least one")
    durations = [round(1000 / fps)] * (len(pictures) - 1) + [round(1000 * hold)]

    def write(temporary: Path) -> None:
        first, *others = pictures
        first.save(temporary, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)

    write_atomically(Path(path), write)


def _picture(frame: Tensor, scale: int | None) -> Image.Image:
    scale = scale or max(1, SHOWN // max(frame.shape[-2:]))
    pixels = grid_image(frame.repeat_interleave(scale, -1).repeat_interleave(scale, -2))
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
