"""Pictures made worse, for restoration: seeded, in five grades of severity as common corruptions have them (Hendrycks & Dietterich 2019)."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from ...errors import UsageError, nearest
from ...noise import mix
from ..batch import Stack
from .render import pictures
from .sample import CLASSES, samples
from .streams import Streams

SEVERITIES = (1, 2, 3, 4, 5)
SIGMAS = (0.012, 0.02, 0.03, 0.045, 0.06)  # of the blur, in sides of the picture
NOISES = (8, 16, 28, 44, 64)  # standard deviation, of 255
FACTORS = (1.5, 2, 3, 4, 6)  # how many times fewer pixels a side
QUALITIES = (40, 22, 12, 7, 3)  # of JPEG


def degraded(image: np.ndarray, kind: str, severity: int, seed: int = 0) -> np.ndarray:
    """The picture uint8 (H, W, 3) blurred, with noise, down-sampled (and shown at its old size) or JPEG-compressed.

    `kind` is one of DEGRADATIONS, `severity` 1 to 5. The noise follows from `seed`. Raises UsageError for others.
    """
    if kind not in DEGRADATIONS:
        raise UsageError(f"kind: there is no degradation {kind!r}{nearest(kind, DEGRADATIONS)}")
    if severity not in SEVERITIES:
        raise UsageError(f"severity must be 1 to 5, got {severity!r}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(f"image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    return DEGRADATIONS[kind](image, severity - 1, seed)


def _blur(image: np.ndarray, grade: int, seed: int) -> np.ndarray:
    sigma = SIGMAS[grade] * max(image.shape)
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def _noise(image: np.ndarray, grade: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(mix("noise", seed)).standard_normal(image.shape, dtype=np.float32)
    return np.rint(image + noise * NOISES[grade]).clip(0, 255).astype(np.uint8)


def _downsample(image: np.ndarray, grade: int, seed: int) -> np.ndarray:
    height, width = image.shape[:2]
    small = (max(round(width / FACTORS[grade]), 1), max(round(height / FACTORS[grade]), 1))
    fewer = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.asarray(fewer.resize((width, height), Image.Resampling.NEAREST))


def _jpeg(image: np.ndarray, grade: int, seed: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITIES[grade])
    return np.asarray(Image.open(file))


DEGRADATIONS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "blur": _blur,
    "noise": _noise,
    "downsample": _downsample,
    "jpeg": _jpeg,
}


@dataclass(frozen=True)
class DegradedStack(Stack):
    """`images` uint8 (B, S, S, 3) as they should be, `sources` the degraded ones; `labels` are the classes of `Shapes`.

    `kinds` int64 (B,) are places in DEGRADATIONS, `severities` int64 (B,) 1 to 5.
    """

    sources: np.ndarray
    kinds: np.ndarray
    severities: np.ndarray


class Degraded(Streams):
    """The items of `Shapes`, degraded at random."""

    kind = "degraded"
    classes = CLASSES

    def stack(self, index: np.ndarray) -> DegradedStack:
        """The pairs `index` (B,)."""
        keys = self.keys(index)
        found = samples(keys, self.world)
        images = pictures([s.scene for s in found], self.size)
        seeds = [mix("degraded", *key) for key in keys]
        kinds = np.array([seed % len(DEGRADATIONS) for seed in seeds], dtype=np.int64)
        severities = np.array([1 + seed // len(DEGRADATIONS) % 5 for seed in seeds], dtype=np.int64)
        names = tuple(DEGRADATIONS)
        each = zip(images, kinds.tolist(), severities.tolist(), seeds, strict=True)
        sources = np.stack([degraded(image, names[kind], severity, seed) for image, kind, severity, seed in each])
        labels = np.array([s.label for s in found], dtype=np.int64)
        return DegradedStack(images, labels, [s.caption for s in found], sources, kinds, severities)
