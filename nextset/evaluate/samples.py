"""Samples as files: PNG grids, folders of PNGs and ADM's `.npz`, all with one rule from float to 8 bits.

Legend: B batch, C channels, H height, W width. Inside, images are float (B, C, H, W) in [-1, 1]; in files uint8 (B, H, W, C).
The rule is round((x + 1) * 127.5), clipped to 0..255; halves go to the even neighbour. Reading divides by 127.5 and takes 1 off,
so reading and writing again changes nothing. The `.npz` layout (`arr_0` images, `arr_1` labels) is that of Dhariwal and Nichol
2021 (arXiv 2105.05233).
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..data.crop import to_float
from ..errors import NextsetError, UsageError
from ..files import write_atomically, write_stream

PADDING = 2  # pixels between the pictures of a grid


def to_uint8(images: Tensor) -> Tensor:
    """Float images (B, C, H, W) in [-1, 1] to uint8 (B, H, W, C), by the rule above."""
    if images.ndim != 4 or not images.is_floating_point():
        raise UsageError(f"images must be floating point (B, C, H, W), got {images.dtype} {tuple(images.shape)}")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte().movedim(1, -1)


def check_finite(images: Tensor, first: int = 0) -> None:
    """Raises NextsetError naming the first sample, counted from `first`, that holds NaN or infinity."""
    bad = (~torch.isfinite(images)).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        more = f" (and {len(bad) - 1} more of its batch)" if len(bad) > 1 else ""
        raise NextsetError(
            f"sample {first + bad[0]}{more} holds NaN or infinity; sample in float32 or check the weights"
        )


# -- writing


def grid_image(images: Tensor, columns: int | None = None) -> np.ndarray:
    """Pictures (B, C, H, W) in rows of `columns` (default: nearly square) as one uint8 array (H', W', C), white between."""
    pixels = to_uint8(images).cpu().numpy()
    count, height, width, channels = pixels.shape
    if not count:
        raise UsageError("images: a grid needs at least one picture")
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    down, across = height + PADDING, width + PADDING
    canvas = np.full((down * -(-count // columns) + PADDING, across * columns + PADDING, channels), 255, np.uint8)
    for i, picture in enumerate(pixels):
        y, x = PADDING + i // columns * down, PADDING + i % columns * across
        canvas[y : y + height, x : x + width] = picture
    return canvas


def save_png(pixels: np.ndarray, path: str | Path) -> None:
    """Writes one uint8 picture (H, W, C), C = 1 or 3, atomically."""
    if pixels.shape[-1] not in (1, 3):
        raise UsageError(f"a picture has 1 or 3 channels, got {pixels.shape[-1]}")
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    write_atomically(Path(path), lambda temporary: picture.save(temporary, format="PNG"))


def save_grid(images: Tensor, path: str | Path, columns: int | None = None, scale: int | None = None) -> None:
    """Writes a grid of images (B, C, H, W) in [-1, 1] as a PNG, each pixel `scale` wide (default: small pictures up to 64)."""
    check_finite(images)
    scale = scale or max(1, 64 // max(images.shape[-2:]))
    enlarged = images.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    save_png(grid_image(enlarged, columns), path)


def save_folder(images: Tensor, folder: str | Path, labels: Tensor | None = None, first: int = 0) -> None:
    """Writes images (B, C, H, W) as `<number>.png`, numbered from `first`, in subfolders named by label where labels are given."""
    check_finite(images, first)
    for i, picture in enumerate(to_uint8(images).cpu().numpy()):
        place = Path(folder) if labels is None else Path(folder) / str(int(labels[i]))
        save_png(picture, place / f"{first + i:06d}.png")


def save_npz(images: Tensor, path: str | Path, labels: Tensor | None = None) -> None:
    """Writes images as ADM's evaluator reads them: `arr_0` uint8 (B, H, W, C), labels as `arr_1`.

    Takes float (B, C, H, W) in [-1, 1], or what `to_uint8` made of it, which is a quarter of the size.
    """
    if images.dtype != torch.uint8:
        check_finite(images)
        images = to_uint8(images)
    arrays = [images.cpu().numpy()] + ([] if labels is None else [labels.cpu().numpy()])
    write_stream(Path(path), lambda file: np.savez(file, *arrays))


# -- reading


@dataclass(frozen=True)
class Samples:
    """Pictures of one size that lie in files: `count` of shape (H, W, C); `labels` (count,) int64 where they are known."""

    path: Path
    count: int
    shape: tuple[int, int, int]
    labels: Tensor | None
    read: Callable[[int, int], np.ndarray]

    def __len__(self) -> int:
        return self.count

    def images(self, start: int, stop: int) -> Tensor:
        """Pictures start..stop as float32 (B, C, H, W) in [-1, 1]. Raises NextsetError naming a file that is damaged."""
        return to_float(self.read(start, min(stop, self.count)))

    def batches(self, size: int) -> Iterator[Tensor]:
        """All pictures in order, `size` at a time."""
        return (self.images(start, start + size) for start in range(0, self.count, size))


def load_samples(path: str | Path) -> Samples:
    """Opens a folder of PNGs (subfolders named by number give the labels) or an `.npz` with `arr_0` uint8 (N, H, W, C).

    Raises UsageError where `path` is neither, NextsetError naming the file where it is damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if path.is_file() and path.suffix == ".npz":
        return _npz(path)
    raise UsageError(f"{path} is neither a folder of PNG files nor an .npz file; write one with `nextset sample`")


def _npz(path: Path) -> Samples:
    try:
        with np.load(path, allow_pickle=False) as file:
            if "arr_0" not in file:
                raise UsageError(f"{path} has no array arr_0, but {', '.join(file.files) or 'nothing'}")
            images, labels = file["arr_0"], file.get("arr_1")
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError) as error:
        if isinstance(error, UsageError):
            raise
        raise NextsetError(f"{path} is damaged or cut short ({error}); write it again") from error
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] not in (1, 3) or not len(images):
        raise UsageError(f"{path}: arr_0 must be uint8 (N, H, W, 1 or 3), got {images.dtype} {images.shape}")
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype.kind not in "iu"):
        raise UsageError(
            f"{path}: arr_1 must be one integer label for each of {len(images)} images, got {labels.shape}"
        )
    found = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    return Samples(path, len(images), images.shape[1:], found, lambda start, stop: images[start:stop])


def _folder(path: Path) -> Samples:
    files = sorted(path.rglob("*.png"), key=lambda p: (_number(p.stem), p))
    if not files:
        raise UsageError(f"{path} holds no PNG files")
    shape = _picture(files[0]).shape
    labelled = all(p.parent != path and re.fullmatch(r"\d+", p.parent.name) for p in files)
    labels = torch.tensor([int(p.parent.name) for p in files]) if labelled else None

    def read(start: int, stop: int) -> np.ndarray:
        pictures = [_picture(p) for p in files[start:stop]]
        for file, picture in zip(files[start:stop], pictures, strict=True):
            if picture.shape != shape:
                raise NextsetError(
                    f"{file} is {picture.shape}, the others (H, W, C) = {shape}; give pictures of one size"
                )
        return np.stack(pictures)

    return Samples(path, len(files), shape, labels, read)


def _number(stem: str) -> float:
    return int(stem) if re.fullmatch(r"\d+", stem) else math.inf  # numbered ones first


def _picture(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as file:
            pixels = np.asarray(file if file.mode in ("L", "RGB") else file.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NextsetError(f"{path} is not a readable PNG ({error}); draw it again or remove it") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels
