"""Text that has to survive: pages of words, read back, and the error rates of what was read.

    CER = edit distance over characters / characters of the truth,    WER the same over words

Both can exceed 1 and are not clipped. A `TextTest` is pictures, the strings that they show, and a reader, which may be any; the
ones that come along are random words in Pillow's bitmap font, read by the glyph that correlates best, so that nothing guesses
what a language model would. The reader's errors on the originals are measured too: they are the floor.
Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..data.crop import as_channels, to_float
from ..errors import UsageError
from ..noise import mix
from .samples import to_uint8

Reader = Callable[[np.ndarray], Sequence[str]]
ALPHABET = string.ascii_letters + string.digits
PAGES, SCALES = 8, (1, 2, 4)
FEWEST = 4  # characters of a line that is worth writing
FAINT = 0.2  # of the palest glyph's contrast: less is a blank


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions from a to b (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def error_rates(truths: Sequence[str], read: Sequence[str]) -> tuple[float, float]:
    """(CER, WER) over all of these pairs together; runs of white space count as one space.

    Raises UsageError where there are not as many of the one as of the other, or where the truths are empty.
    """
    if len(truths) != len(read):
        raise UsageError(f"read must hold one string for each of {len(truths)} truths, got {len(read)}")
    pairs = [(truth.split(), found.split()) for truth, found in zip(truths, read, strict=True)]
    words = sum(len(truth) for truth, _ in pairs)
    if not words:
        raise UsageError("truths are empty, so there is nothing to misread")
    spelt = [(" ".join(truth), " ".join(found)) for truth, found in pairs]
    characters = sum(len(truth) for truth, _ in spelt)
    return (
        sum(edit_distance(truth, found) for truth, found in spelt) / characters,
        sum(edit_distance(truth, found) for truth, found in pairs) / words,
    )


@dataclass(frozen=True)
class TextTest:
    """Pictures (B, C, H, W) in [-1, 1], the strings that they show, and a reader of uint8 pictures (B, H, W, C).

    `name` names its figures and its reader.
    """

    name: str
    pictures: Tensor
    truths: Sequence[str]
    reader: Reader

    @property
    def identity(self) -> str:
        """Name, and the first 12 hex digits of the SHA-256 of pictures and truths."""
        digest = hashlib.sha256("\0".join(self.truths).encode())
        digest.update(to_uint8(self.pictures).cpu().numpy().tobytes())
        return f"{self.name}:{digest.hexdigest()[:12]}"

    def __post_init__(self) -> None:
        if self.pictures.ndim != 4 or len(self.pictures) != len(self.truths):
            raise UsageError(
                f"truths must be one string for each picture (B, C, H, W), got {len(self.truths)} and {tuple(self.pictures.shape)}"
            )


class Glyphs:
    """A font of one size: a mask (h, w) for each character, 1 where there is ink."""

    def __init__(self, masks: Mapping[str, np.ndarray]) -> None:
        shapes = {mask.shape for mask in masks.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise UsageError(f"masks must all be (h, w) of one size, got {sorted(shapes)}")
        if any(len(character) != 1 or character.isspace() for character in masks):
            raise UsageError("masks must be named by single characters; a space needs none")
        self.characters = "".join(masks)
        self.masks = np.stack([np.asarray(mask, bool) for mask in masks.values()])
        flat = {mask.tobytes() for mask in self.masks}
        if len(flat) < len(masks) or not all(mask.any() and not mask.all() for mask in self.masks):
            raise UsageError("masks must differ from each other, with ink and without: what looks alike cannot be read")

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of a character."""
        return self.masks.shape[1], self.masks.shape[2]

    def fits(self, size: tuple[int, int], scale: int) -> tuple[int, int]:
        """(lines, columns) of a page of `size` (height, width), glyphs being `scale` times as large."""
        return size[0] // (self.size[0] * scale), size[1] // (self.size[1] * scale)

    def write(self, lines: Sequence[str], size: tuple[int, int], scale: int) -> np.ndarray:
        """uint8 (H, W): black on white, from the upper left corner. Raises UsageError for what does not fit or is not in the font."""
        rows, columns = self.fits(size, scale)
        if len(lines) > rows or any(len(line) > columns for line in lines):
            raise UsageError(
                f"lines: a page of {size[0]}x{size[1]} holds {rows} of {columns} characters at scale {scale}"
            )
        h, w = (side * scale for side in self.size)
        page = np.full(size, 255, np.uint8)
        for i, line in enumerate(lines):
            for j, character in enumerate(line):
                if character != " ":
                    mask = np.kron(self._mask(character), np.ones((scale, scale), bool))
                    page[i * h : (i + 1) * h, j * w : (j + 1) * w][mask] = 0
        return page

    def _mask(self, character: str) -> np.ndarray:
        if character not in self.characters:
            raise UsageError(f"lines: the font has no {character!r}")
        return self.masks[self.characters.index(character)]

    def read(self, pictures: np.ndarray, scale: int) -> list[str]:
        """The text of uint8 pictures (B, H, W, C) that `write` laid out, line by line: in every cell the glyph of the highest
        correlation, a space where there is hardly any contrast."""
        h, w = self.size
        rows, columns = self.fits(pictures.shape[1:3], scale)
        ink = 1 - pictures[:, : rows * h * scale, : columns * w * scale].mean(-1) / 255
        cells = ink.reshape(len(pictures), rows, h, scale, columns, w, scale).mean((3, 6))
        cells = cells.transpose(0, 1, 3, 2, 4).reshape(len(pictures), rows, columns, h * w)
        templates = self.masks.reshape(len(self.masks), -1).astype(np.float64)
        templates -= templates.mean(1, keepdims=True)
        lengths = np.linalg.norm(templates, axis=1)
        cells = cells - cells.mean(-1, keepdims=True)
        best = (cells @ (templates / lengths[:, None]).T).argmax(-1)
        blank = np.linalg.norm(cells, axis=-1) < FAINT * lengths.min()
        table = np.array([*self.characters, " "])
        return [
            "\n".join("".join(line) for line in page) for page in table[np.where(blank, len(self.characters), best)]
        ]


def builtin_font() -> Glyphs:
    """Letters and digits of the bitmap font inside Pillow, 11 pixels high and 6 wide."""
    load = getattr(ImageFont, "load_default_imagefont", ImageFont.load_default)  # before Pillow 10.1 the only default
    font, masks = load(), {}
    for character in ALPHABET:
        cell = Image.new("L", (6, 11))
        ImageDraw.Draw(cell).text((0, 0), character, fill=255, font=font)
        masks[character] = np.asarray(cell) > 127
    return Glyphs(masks)


def text_tests(size: tuple[int, int], channels: int, glyphs: Glyphs | None = None) -> list[TextTest]:
    """Pages of random words of 3 to 7 letters for pictures of `size` (height, width), one test a scale that fits: small text is
    harder. Raises UsageError where not even the smallest does."""
    glyphs = glyphs or builtin_font()
    fitting = [s for s in SCALES if glyphs.fits(size, s)[0] >= 1 and glyphs.fits(size, s)[1] >= FEWEST]
    if not fitting:
        h, w = glyphs.size
        raise UsageError(
            f"text needs pictures of at least {h}x{FEWEST * w}, got {size[0]}x{size[1]}; leave it out of metrics"
        )
    return [_pages(glyphs, size, channels, scale) for scale in fitting]


def _pages(glyphs: Glyphs, size: tuple[int, int], channels: int, scale: int) -> TextTest:
    rng = np.random.default_rng(mix("text", scale))
    rows, columns = glyphs.fits(size, scale)
    truths = ["\n".join(_line(rng, glyphs.characters, columns) for _ in range(rows)) for _ in range(PAGES)]
    pages = [as_channels(glyphs.write(t.split("\n"), size, scale)[..., None], channels) for t in truths]
    name = f"text-{glyphs.size[0] * scale}px"
    return TextTest(name, to_float(np.stack(pages)), truths, lambda pictures: glyphs.read(pictures, scale))


def _line(rng: np.random.Generator, characters: str, columns: int) -> str:
    line = ""
    while len(line) < columns:
        line += "".join(rng.choice(list(characters), rng.integers(3, 8))) + " "
    return line[:columns].rstrip()


def read_back(test: TextTest, pictures: Tensor) -> tuple[float, float]:
    """(CER, WER) of a test's reader on pictures (B, C, H, W) in [-1, 1] in place of the originals."""
    return error_rates(test.truths, test.reader(to_uint8(pictures).cpu().numpy()))
