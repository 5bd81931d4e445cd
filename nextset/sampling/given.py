"""What an edit is given: a picture file and a mask file, as the tensors that `Model.edit` takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from ..data.base import Item
from ..data.crop import to_image
from ..data.picture import opened, pixels
from ..errors import UsageError


def read_given(image: Path, mask: Path, size: tuple[int, int], channels: int, resize: bool) -> tuple[Tensor, Tensor]:
    """The picture (channels, H, W) in [-1, 1] and the mask (H, W) bool, true where it is to be redrawn (white in the file).

    Both files have one size, which is `size` unless `resize` cuts both to the same central part. Raises UsageError where
    they do not fit or the mask marks nothing, NextsetError naming a file that is damaged.
    """
    picture, marks = _pixels(image, "image"), _pixels(mask, "mask")
    if marks.shape[:2] != picture.shape[:2]:
        raise UsageError(f"mask {mask} is {_size(marks)}, the image {image} {_size(picture)}; they must have one size")
    _check_size(image, picture, size, resize)
    region = to_image(Item(marks), size, 1)[0] > 0
    if not region.any():
        raise UsageError(f"mask {mask} marks nothing; paint white what is to be redrawn")
    return to_image(Item(picture), size, channels), region


def read_picture(image: Path, size: tuple[int, int], channels: int, resize: bool) -> Tensor:
    """The picture alone, in the same way."""
    picture = _pixels(image, "image")
    _check_size(image, picture, size, resize)
    return to_image(Item(picture), size, channels)


def _check_size(image: Path, picture: np.ndarray, size: tuple[int, int], resize: bool) -> None:
    if picture.shape[:2] != size and not resize:
        raise UsageError(
            f"image {image} is {_size(picture)}, the model draws {size[1]}x{size[0]}; --resize cuts and scales it to that"
        )


def _pixels(path: Path, name: str) -> np.ndarray:
    if not path.is_file():
        raise UsageError(f"{name}: there is no file {path}")
    return pixels(opened(path.read_bytes(), str(path)))


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
