"""Pictures of the world back to what they show: the exact grader's eye, which no model is needed for.

Every pixel is explained as background plus a share of one colour; connected pixels of a colour are a shape; its kind is the
outline that, at the shape's centre and area, overlaps its shares best. Legend: B pictures, S side, P side of a patch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ...errors import UsageError
from .fit import best_outlines
from .outline import AREAS
from .sample import RADII
from .scene import COLOURS

LEAST_AREA = 0.3 * min(AREAS.values()) * RADII["small"] ** 2  # smaller spots are specks
CHUNK = 128
BOUNDARY = sum(RADII.values()) / 2  # between small and large


@dataclass(frozen=True)
class Found:
    """A shape read from a picture; `fit` is the overlap (intersection over union) with the ideal one, kind "" where that is poor."""

    kind: str
    colour: str
    x: float
    y: float
    size: float
    angle: float
    fit: float

    @property
    def size_word(self) -> str:
        """Small or large."""
        return "small" if self.size < BOUNDARY else "large"


@dataclass(frozen=True)
class Reading:
    """What a picture shows, and its background colour."""

    shapes: tuple[Found, ...]
    background: tuple[int, int, int]


def read(image: np.ndarray | Tensor) -> Reading:
    """Reads one picture: uint8 (S, S, 3), or a float tensor (3, S, S) in [-1, 1]."""
    return read_all(image[None])[0]


def read_all(images: np.ndarray | Tensor) -> list[Reading]:
    """Reads pictures: uint8 (B, S, S, 3), or a float tensor (B, 3, S, S) in [-1, 1]. Raises UsageError for other shapes."""
    pixels = _as_pixels(images)
    return [reading for at in range(0, len(pixels), CHUNK) for reading in _read_chunk(pixels[at : at + CHUNK])]


def _as_pixels(images: np.ndarray | Tensor) -> np.ndarray:
    """float32 (B, S, S, 3) in 0..255."""
    if isinstance(images, Tensor):
        pixels = (images.detach().float().cpu().clamp(-1, 1).movedim(1, -1).numpy() + 1) * 127.5
    else:
        pixels = images.astype(np.float32)
    if pixels.ndim != 4 or pixels.shape[1] != pixels.shape[2] or pixels.shape[3] != 3:
        raise UsageError(f"images must be square RGB pictures, got {tuple(images.shape)}")
    return pixels


def _read_chunk(pixels: np.ndarray) -> list[Reading]:
    backgrounds = _backgrounds(pixels)
    shares, colours = _explained(pixels, backgrounds)
    best = np.take_along_axis(shares, colours[..., None], -1)[..., 0]
    spots = _without_specks(components(np.where(best > 0.5, colours + 1, 0)))
    found: list[list[Found]] = [[] for _ in pixels]
    for picture, shape in _shapes(spots, shares, colours):
        found[picture].append(shape)
    return [
        Reading(tuple(f), (round(r), round(g), round(b)))
        for f, (r, g, b) in zip(found, backgrounds.tolist(), strict=True)
    ]


def _backgrounds(pixels: np.ndarray) -> np.ndarray:
    """The median colour of each picture's border, (B, 3)."""
    border = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1]], axis=1)
    return np.asarray(np.median(border, axis=1))


def _explained(pixels: np.ndarray, backgrounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares in [0, 1] of each colour in each pixel, were it the only one (B, S, S, colours), and the colour that fits best."""
    ways = np.array(list(COLOURS.values()), dtype=np.float32) - backgrounds[:, None]  # (B, colours, 3)
    offsets = pixels - backgrounds[:, None, None]
    lengths = (ways**2).sum(-1)[:, None, None]
    shares = np.einsum("byxc,bkc->byxk", offsets, ways) / lengths
    # |offset - share * way|^2 up to the part that no colour changes
    shown = shares.clip(0, 1.2)
    misfit = lengths * shown * (shown - 2 * shares)
    return shares.clip(0, 1).astype(np.float32), misfit.argmin(-1)


def components(values: np.ndarray) -> np.ndarray:
    """Numbers the 4-connected regions of equal non-zero `values` (B, S, S), unlike anywhere in the batch; 0 stays 0."""
    labels = np.where(values > 0, np.arange(1, values.size + 1).reshape(values.shape), 0)
    while True:
        before = labels
        for axis in (1, 2):
            labels = _spread(_spread(labels, values, axis, 1), values, axis, -1)
        if np.array_equal(labels, before):
            return labels


def _spread(labels: np.ndarray, values: np.ndarray, axis: int, step: int) -> np.ndarray:
    """The larger of each label and its neighbour's, where they have one value."""
    ahead, behind = [slice(None)] * 3, [slice(None)] * 3
    ahead[axis], behind[axis] = (slice(1, None), slice(-1)) if step > 0 else (slice(-1), slice(1, None))
    here, there = tuple(ahead), tuple(behind)
    spread = labels.copy()
    same = values[here] == values[there]
    spread[here] = np.where(same, np.maximum(labels[here], labels[there]), labels[here])
    return spread


def _without_specks(labels: np.ndarray) -> np.ndarray:
    """Labels 1..n of the regions that are large enough, spread over two more pixels of unclaimed border."""
    names, places, areas = np.unique(labels, return_inverse=True, return_counts=True)
    kept = (areas >= LEAST_AREA * labels[0].size) & (names > 0)
    spots = np.where(kept, np.cumsum(kept), 0)[places].reshape(labels.shape)
    for _ in range(2):
        padded = np.pad(spots, ((0, 0), (1, 1), (1, 1)))
        around = [padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]]
        spots = np.where(spots > 0, spots, np.maximum.reduce(around))
    return spots


def _shapes(spots: np.ndarray, shares: np.ndarray, colours: np.ndarray) -> list[tuple[int, Found]]:
    """The shape of each spot, with the number of its picture."""
    count, side = int(spots.max()), spots.shape[1]
    if not count:
        return []
    where = np.nonzero(spots)
    owner = spots[where] - 1
    votes = np.zeros((count, len(COLOURS)))
    np.add.at(votes, (owner, colours[where]), np.take_along_axis(shares[where], colours[where][:, None], 1)[:, 0])
    colour = votes.argmax(1)
    share = shares[where][np.arange(len(owner)), colour[owner]]
    total = lambda values: np.bincount(owner, values, count)
    area = total(share)
    x, y = total(share * (where[2] + 0.5)) / area, total(share * (where[1] + 0.5)) / area
    picture = np.zeros(count, dtype=int)
    picture[owner] = where[0]
    patches, centres = _patches(owner, where, share, np.stack([x, y], axis=1))
    fits = best_outlines(patches, centres, area)
    names, places = tuple(COLOURS), np.stack([x, y], axis=1) / side
    return [
        (int(b), Found(f.kind, names[c], float(at[0]), float(at[1]), f.size / side, f.angle, f.overlap))
        for b, c, at, f in zip(picture, colour, places, fits, strict=True)
    ]


def _patches(
    owner: np.ndarray, where: tuple[np.ndarray, ...], share: np.ndarray, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The shares of each spot alone (n, P, P), and its centre in there (n, 2) as x, y."""
    pixels = np.stack([where[2], where[1]], axis=1)
    half = int(np.abs(pixels + 0.5 - centres[owner]).max()) + 2
    corners = np.floor(centres).astype(int) - half
    inside = pixels - corners[owner]
    patches = np.zeros((len(centres), 2 * half + 1, 2 * half + 1), dtype=np.float32)
    patches[owner, inside[:, 1], inside[:, 0]] = share
    return patches, centres - corners
