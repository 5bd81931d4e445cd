"""Pictures of the world back to what they show: the exact grader's eye, which no model is needed for.

Every pixel is explained as background plus a share of one colour; connected pixels of a colour are a spot; a spot's kind is the
outline that overlaps its shares best (`fit.py`), also where others or the border hide a part (`hidden.py`). Legend: B pictures,
S side, P side of a patch, n spots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ....errors import UsageError
from ..outline import AREAS
from ..scene import COLOURS, Lettering, Scene, Shape
from ..world import RADII, size_word
from .fit import Fit, best_outlines
from .hidden import Spots, completed
from .letters import band, words

LEAST_AREA = 0.3 * min(AREAS.values()) * RADII["small"] ** 2  # smaller spots are specks
CHUNK = 128


@dataclass(frozen=True)
class Found:
    """A shape read from a picture, in the units of `Shape`; kind "" where no outline is like it.

    `box` (left, top, right, bottom; the last two exclusive) holds the pixels that are seen of it; `fit` is the overlap
    (intersection over union) with the ideal outline, of what is seen.
    """

    kind: str
    colour: str
    x: float
    y: float
    size: float
    angle: float
    fit: float
    box: tuple[int, int, int, int]

    @property
    def size_word(self) -> str:
        """Small or large."""
        return size_word(self.size)


@dataclass(frozen=True)
class Reading:
    """What a picture shows, from back to front as far as that can be seen, its background colour, and a word where it is written as
    the world writes (`letters.py`)."""

    shapes: tuple[Found, ...]
    background: tuple[int, int, int]
    word: Lettering | None = None

    @property
    def scene(self) -> Scene:
        """The scene that renders to what was read, without the shapes of no kind."""
        known = (f for f in self.shapes if f.kind)
        shapes = tuple(Shape(f.kind, f.colour, f.x, f.y, f.size, f.angle) for f in known)
        return Scene(shapes, self.background, words=(self.word,) if self.word else ())


def read(image: np.ndarray | Tensor) -> Reading:
    """Reads one picture: uint8 (S, S, 3), or a float tensor (3, S, S) in [-1, 1]."""
    return read_all(image[None])[0]


def read_all(images: np.ndarray | Tensor) -> list[Reading]:
    """Reads pictures: uint8 (B, S, S, 3), or a float tensor (B, 3, S, S) in [-1, 1]. Raises UsageError for other shapes."""
    check_images(images)
    return [
        reading for at in range(0, len(images), CHUNK) for reading in _read_chunk(as_pixels(images[at : at + CHUNK]))
    ]


def check_images(images: np.ndarray | Tensor) -> None:
    """Raises UsageError for what `read_all` does not read."""
    shape = tuple(images.shape)
    order = (0, 2, 3, 1) if isinstance(images, Tensor) and len(shape) == 4 else range(len(shape))
    _, *rest = (shape[axis] for axis in order) if shape else (0,)
    if len(rest) != 3 or rest[0] != rest[1] or rest[2] != 3 or not rest[0]:
        raise UsageError(f"images must be square RGB pictures, got {shape}")
    kind = "float" if isinstance(images, Tensor) else "uint8"
    if kind not in str(images.dtype):
        raise UsageError(f"images must be uint8 arrays (B, S, S, 3) or float tensors (B, 3, S, S), got {images.dtype}")


def as_pixels(images: np.ndarray | Tensor) -> np.ndarray:
    """float32 (B, S, S, 3) in 0..255; what is not a number is black."""
    if isinstance(images, Tensor):
        return (images.detach().float().cpu().nan_to_num(-1).clamp(-1, 1).movedim(1, -1).numpy() + 1) * 127.5
    return images.astype(np.float32)


def _read_chunk(pixels: np.ndarray) -> list[Reading]:
    backgrounds = _backgrounds(pixels)
    shares, colours = _explained(pixels, backgrounds)
    written = words(shares, colours)
    for b, word in enumerate(written):
        if word is not None:
            shares[b, band(word, shares.shape[1])] = 0  # letters are no shapes
    spots = _spots(shares, colours)
    found: list[list[Found]] = [[] for _ in pixels]
    for picture, pieces, fit in completed(spots, shares, _whole(spots, shares)):
        found[picture].append(_found(fit, spots, pieces))
    return [
        Reading(tuple(f), (round(r), round(g), round(b)), word)
        for f, (r, g, b), word in zip(found, backgrounds.tolist(), written, strict=True)
    ]


def _found(fit: Fit, spots: Spots, pieces: tuple[int, ...]) -> Found:
    side, colour = spots.labels.shape[1], tuple(COLOURS)[spots.colours[pieces[0]]]
    box = fit.box
    if not fit.kind or not any(box):
        left, top = spots.boxes[list(pieces), :2].min(0).tolist()
        right, bottom = spots.boxes[list(pieces), 2:].max(0).tolist()
        box = (left, top, right, bottom)
    return Found(fit.kind, colour, fit.x / side, fit.y / side, fit.size / side, fit.angle, fit.overlap, box)


def _backgrounds(pixels: np.ndarray) -> np.ndarray:
    """The median colour of each picture's border, (B, 3)."""
    border = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1]], axis=1)
    return np.asarray(np.median(border, axis=1))


def _explained(pixels: np.ndarray, backgrounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares in [0, 1] of each colour in each pixel, were it the only one (B, S, S, colours), and the colour that fits best."""
    ways = np.array(list(COLOURS.values()), dtype=np.float32) - backgrounds[:, None]  # (B, colours, 3)
    lengths = np.maximum((ways**2).sum(-1), 1.0)  # a colour may be the background's
    offsets = (pixels - backgrounds[:, None, None]).reshape(len(pixels), -1, 3)
    shares = offsets @ (ways / lengths[..., None]).transpose(0, 2, 1)
    # |offset - share * way|^2 up to the part that no colour changes
    shown = shares.clip(0, 1.2)
    misfit = lengths[:, None] * shown * (shown - 2 * shares)
    shape = (*pixels.shape[:3], len(COLOURS))
    return shares.clip(0, 1).reshape(shape), misfit.argmin(-1).reshape(shape[:3])


def _spots(shares: np.ndarray, colours: np.ndarray) -> Spots:
    """The spots that are large enough, with two more pixels of unclaimed border each."""
    from scipy.ndimage import find_objects

    best = np.take_along_axis(shares, colours[..., None], -1)[..., 0]
    regions = components(np.where(best > 0.5, colours + 1, 0))
    areas = np.bincount(regions.ravel())
    kept = areas >= LEAST_AREA * best[0].size
    kept[0] = False
    cores = (np.cumsum(kept) * kept)[regions]
    places = find_objects(cores)
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for _, y, x in places]).reshape(-1, 4)
    picture = np.array([b.start for b, _, _ in places], dtype=int)
    colour = np.zeros(len(places) + 1, dtype=int)
    colour[cores] = colours
    return Spots(_spread(_spread(cores)), cores, best > 0.5, picture, colour[1:], boxes)


def components(values: np.ndarray) -> np.ndarray:
    """Numbers the 4-connected regions of equal non-zero `values` (B, S, S), unlike anywhere in the batch; 0 stays 0."""
    from scipy.ndimage import label

    count, side = values.shape[0], values.shape[2]
    kinds = np.arange(1, values.max(initial=0) + 1)
    # one tall picture for all, in which empty rows part those that are not neighbours
    tall = np.zeros((len(kinds), count, values.shape[1] + 1, side), dtype=bool)
    tall[:, :, :-1] = values == kinds[:, None, None, None]
    labels = label(tall.reshape(-1, side))[0].reshape(tall.shape)
    return np.asarray(labels[:, :, :-1].sum(0, dtype=np.int64))


def _spread(spots: np.ndarray) -> np.ndarray:
    """Spots (B, S, S) with one pixel more of unclaimed border."""
    padded = np.pad(spots, ((0, 0), (1, 1), (1, 1)))
    around = [padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]]
    return np.where(spots > 0, spots, np.maximum.reduce(around))


def _whole(spots: Spots, shares: np.ndarray) -> list[Fit]:
    """The outline of each spot, as if nothing hid a part of it."""
    count = len(spots.pictures)
    if not count:
        return []
    where = np.nonzero(spots.labels)
    owner = spots.labels[where] - 1
    share = shares[(*where, spots.colours[owner])]
    total = lambda values: np.bincount(owner, values, count)
    area = np.maximum(total(share), 1e-6)
    centres = np.stack([total(share * (where[2] + 0.5)) / area, total(share * (where[1] + 0.5)) / area], axis=1)
    # in groups of like extent, for the sake of time: a patch is as large as the largest spot of its group needs
    reach = np.abs(np.stack([where[2], where[1]], axis=1) + 0.5 - centres[owner]).max(1)
    halves = np.zeros(count)
    np.maximum.at(halves, owner, reach)
    groups = np.ceil(np.log2(np.maximum(halves, 8) / 8) * 2).astype(int)
    fits: list[Fit | None] = [None] * count
    for group in np.unique(groups).tolist():
        members = np.flatnonzero(groups == group)
        rank = np.cumsum(groups == group) - 1
        chosen = groups[owner] == group
        parts = tuple(axis[chosen] for axis in where)
        patches = _patches(rank[owner[chosen]], parts, share[chosen], centres[members])
        for member, fit in zip(members.tolist(), best_outlines(*patches), strict=True):
            fits[member] = fit
    return [fit for fit in fits if fit is not None]


def _patches(
    owner: np.ndarray, where: tuple[np.ndarray, ...], share: np.ndarray, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The shares of each spot alone (n, P, P), its centre in there (n, 2) as x, y, and the corner of the patch (n, 2)."""
    pixels = np.stack([where[2], where[1]], axis=1)
    half = int(np.abs(pixels + 0.5 - centres[owner]).max()) + 2
    corners = np.floor(centres).astype(int) - half
    inside = pixels - corners[owner]
    patches = np.zeros((len(centres), 2 * half + 1, 2 * half + 1), dtype=np.float32)
    patches[owner, inside[:, 1], inside[:, 0]] = share
    return patches, centres - corners, corners
