"""Pictures to tensors of one size, cropped as the field's evaluations do (ADM: Dhariwal and Nichol 2021, arXiv 2105.05233).

The central crop halves by box filter while twice too large, scales the shorter side bicubically, then cuts: FID figures
depend on these steps.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import UsageError
from .base import Item

SMALLEST = 0.8  # a random crop shows at least this fraction of the shorter side, as in ADM's training


def to_image(
    item: Item,
    size: tuple[int, int],
    channels: int,
    crop: Literal["center", "random"] = "center",
    flip: bool = False,
    rng: np.random.Generator | None = None,
) -> Tensor:
    """The picture as (channels, H, W) float32 in [-1, 1], of `size` (H, W).

    "random" scales so that the crop shows 80% to 100% of the shorter side and cuts anywhere; `flip` mirrors every second
    picture. Both draw from `rng`. A central crop of a picture that has the size already changes nothing.
    """
    if crop not in ("center", "random"):
        raise UsageError(f"crop must be 'center' or 'random', got {crop!r}")
    if rng is None and (flip or crop == "random"):
        raise UsageError("rng is needed for random crops and flips")
    pixels = as_channels(item.image, channels)
    if crop == "random" or pixels.shape[:2] != tuple(size):
        pixels = _cropped(pixels, size, rng if crop == "random" else None)
    if flip and rng is not None and rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    return to_float(pixels)


def to_float(pixels: np.ndarray) -> Tensor:
    """uint8 (..., H, W, C) to float32 (..., C, H, W) in [-1, 1]."""
    floats = np.ascontiguousarray(np.moveaxis(pixels, -1, -3), dtype=np.float32)
    return torch.from_numpy(floats).div_(127.5).sub_(1)


def as_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (H, W, 1 or 3) with 1 channel (ITU-R 601 luma) or 3 (grey repeated)."""
    if channels not in (1, 3):
        raise UsageError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]


def _cropped(pixels: np.ndarray, size: tuple[int, int], rng: np.random.Generator | None) -> np.ndarray:
    height, width = size
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    shown = 1.0 if rng is None else float(rng.uniform(SMALLEST, 1.0))
    picture = _scaled(picture, round(height / shown), round(width / shown))
    spare_y, spare_x = picture.height - height, picture.width - width
    top, left = (spare_y // 2, spare_x // 2) if rng is None else (rng.integers(spare_y + 1), rng.integers(spare_x + 1))
    return np.asarray(picture).reshape(picture.height, picture.width, -1)[top : top + height, left : left + width]


def _scaled(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The picture at the smallest scale that covers `height` x `width`."""
    while picture.width >= 2 * width and picture.height >= 2 * height:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    scale = max(width / picture.width, height / picture.height)
    covering = (max(round(picture.width * scale), width), max(round(picture.height * scale), height))
    return picture.resize(covering, Image.Resampling.BICUBIC)
