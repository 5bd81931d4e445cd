"""Encoded pictures to arrays."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ..errors import NextsetError

GREY_MODES = {"1", "L", "LA", "La"}
DEEP_MODES = {"I;16", "I;16B", "I;16L", "I;16N", "I"}


def opened(data: bytes, where: str) -> Image.Image:
    """The fully decoded picture in the mode it is stored in. Raises NextsetError naming `where`."""
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except Image.UnidentifiedImageError as error:
        raise NextsetError(f"{where} is no picture that can be read; delete or replace it") from error
    except Exception as error:  # decoders fail in many ways on damaged bytes
        raise NextsetError(f"{where} is damaged ({error}); delete or replace it") from error
    return picture


def pixels(picture: Image.Image) -> np.ndarray:
    """uint8 (H, W, 1) of grey modes, else (H, W, 3). Transparency is dropped, 16-bit grey loses its low byte."""
    if picture.mode in DEEP_MODES:
        return (np.asarray(picture).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)[..., None]
    if picture.mode in GREY_MODES:
        return np.asarray(picture.convert("L"))[..., None]
    return np.asarray(picture.convert("RGB"))
