"""Letters and digits of 5 x 7 dots, painted at any size and place: a pixel's share is the exact area of the dots in it."""

from __future__ import annotations

import numpy as np

WIDTH, HEIGHT, ADVANCE = 5, 7, 6  # dots

# Seven rows from the top, five dots each: two hexadecimal digits a row, the lowest bit is the right-most dot.
_ROWS = {
    "A": "0E11111F111111", "B": "1E11111E11111E", "C": "0E11101010110E", "D": "1E11111111111E", "E": "1F10101E10101F",
    "F": "1F10101E101010", "G": "0E11101711110F", "H": "1111111F111111", "I": "0E04040404040E", "J": "0702020202120C",
    "K": "11121418141211", "L": "1010101010101F", "M": "111B1515111111", "N": "11191915131311", "O": "0E11111111110E",
    "P": "1E11111E101010", "Q": "0E11111115120D", "R": "1E11111E141211", "S": "0F10100E01011E", "T": "1F040404040404",
    "U": "1111111111110E", "V": "11111111110A04", "W": "1111111515150A", "X": "11110A040A1111", "Y": "11110A04040404",
    "Z": "1F01020408101F", "0": "0E11131519110E", "1": "040C040404040E", "2": "0E11010204081F", "3": "1F02040201110E",
    "4": "02060A121F0202", "5": "1F101E0101110E", "6": "0608101E11110E", "7": "1F010204080808", "8": "0E11110E11110E",
    "9": "0E11110F01020C",
}  # fmt: skip


def bitmap(text: str) -> np.ndarray:
    """The dots of a word of A-Z and 0-9, float32 (7, 6 n - 1)."""
    rows = np.array([list(bytes.fromhex(_ROWS[letter])) for letter in text], dtype=np.uint8)  # (n, 7)
    dots = (rows[:, :, None] >> np.arange(WIDTH - 1, -1, -1)) & 1
    spaced = np.pad(dots, ((0, 0), (0, 0), (0, ADVANCE - WIDTH)))
    return spaced.transpose(1, 0, 2).reshape(HEIGHT, -1)[:, :-1].astype(np.float32)


def length(text: str, height: float) -> float:
    """How wide the word is when its letters are `height` high."""
    return (ADVANCE * len(text) - 1) * height / HEIGHT


def written(text: str, x: float, y: float, height: float, side: int) -> np.ndarray:
    """Each pixel's share covered by a word centred at (x, y), in units of the picture's side: float32 (S, S)."""
    dots = bitmap(text)
    dot = height / HEIGHT * side  # pixels
    rows, columns = (
        _overlaps(count, dot, centre * side - count * dot / 2, side)
        for count, centre in zip(dots.shape, (y, x), strict=True)
    )
    return np.asarray(rows @ dots @ columns.T, dtype=np.float32)


def _overlaps(count: int, dot: float, start: float, side: int) -> np.ndarray:
    """How much of each pixel's interval (S,) each dot's interval (count,) covers."""
    pixels, dots = np.arange(side, dtype=np.float64)[:, None], start + dot * np.arange(count)
    return (np.minimum(pixels + 1, dots + dot) - np.maximum(pixels, dots)).clip(min=0)
