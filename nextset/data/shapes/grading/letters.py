"""Words read back, as the world writes them: letters of 5 x 7 dots on a grid of 32, at the top or the bottom, in one colour.

A word is where letters, each the one that is most like what is seen, explain nearly all that a band of the picture shows; so nothing
guesses what a language model would. Legend: B pictures, S side, n bands (two a picture), d places along a band.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..glyphs import ADVANCE, HEIGHT, WIDTH, bitmap
from ..sample import BAND, DOT
from ..scene import COLOURS, LETTERS, Lettering
from ..world import LETTERS_MOST

DOTS = round(1 / DOT)  # along a side
ROWS = round(BAND / DOT)
LEGIBLE = 0.58  # share of what a band shows that letters must explain; of shapes alone they explain 0.553 at most in 12,000 pictures
FAINT = 0.3  # share of the colour, of the fullest dots, below which there is nothing to read
FULLEST = 0.97  # quantile; a word of one letter fills a thirtieth of a band


def words(shares: np.ndarray, colours: np.ndarray) -> list[Lettering | None]:
    """The word of each picture, if there is one, from the shares of each colour in each pixel (B, S, S, colours) and the best colour."""
    inks, inked = _inks(shares, colours)
    full = np.quantile(inks, FULLEST, axis=(1, 2))
    inks = (inks / np.maximum(full, FAINT)[:, None, None]).clip(0, 1)
    texts, places, explained = _spelt(inks)
    legible = np.where(full >= FAINT, explained, 0.0)
    found: list[Lettering | None] = []
    for top, bottom in np.arange(len(legible)).reshape(-1, 2):
        band = top if legible[top] >= legible[bottom] else bottom
        if legible[band] < LEGIBLE:
            found.append(None)
            continue
        text = texts[band]
        x = (places[band] + (ADVANCE * len(text) - 1) / 2) * DOT
        y = BAND / 2 if band == top else 1 - BAND / 2
        found.append(Lettering(text, x, y, HEIGHT * DOT, tuple(COLOURS)[inked[band]]))
    return found


def band(word: Lettering, side: int) -> slice:
    """The rows of a picture in which a word that was read may show."""
    rows = round(BAND * side)
    return slice(0, rows) if word.y < 0.5 else slice(side - rows, side)


def _inks(shares: np.ndarray, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is seen of the colour that fills most of each band, at every dot (n, rows, 32), and the colour's place (n,)."""
    to_dots, side = _overlaps(shares.shape[1]), shares.shape[1]
    names, height = np.arange(shares.shape[-1]), round(BAND * side)
    inks, inked = [], []
    for rows, pixels in ((slice(ROWS), slice(height)), (slice(-ROWS, None), slice(-height, None))):
        own = np.where(colours[:, pixels, :, None] == names, shares[:, pixels], 0)
        chosen = own.sum((1, 2)).argmax(-1)
        plane = shares[np.arange(len(shares)), :, :, chosen]
        inks.append(np.einsum("rs,bsx,dx->brd", to_dots[rows], plane, to_dots, optimize=True))
        inked.append(chosen)
    return np.stack(inks, 1).reshape(-1, ROWS, DOTS), np.stack(inked, 1).reshape(-1)


def _spelt(inks: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The best word of each band, the dot at which it begins, and the share of the ink's energy that it explains."""
    names, templates, energies = _alphabet()
    cells = sliding_window_view(inks[:, 1 : 1 + HEIGHT], WIDTH, axis=2)  # (n, 7, d, 5)
    cells = cells.transpose(0, 2, 1, 3).reshape(len(inks), -1, HEIGHT * WIDTH)
    gains = 2 * cells @ templates.T - energies  # of |ink|^2 - |ink - letter|^2, (n, d, letters)
    letters, gains = gains.argmax(-1), gains.max(-1)
    best, texts, places = np.full(len(inks), -np.inf), [""] * len(inks), np.zeros(len(inks), dtype=int)
    for length in range(1, LETTERS_MOST + 1):
        reach = gains.shape[1] - ADVANCE * (length - 1)
        totals = sum(gains[:, ADVANCE * k : ADVANCE * k + reach] for k in range(length))
        starts = totals.argmax(1)
        for n in np.flatnonzero(totals.max(1) > best).tolist():
            start = int(starts[n])
            best[n], places[n] = totals[n, start], start
            texts[n] = "".join(names[letters[n, start + ADVANCE * k]] for k in range(length))
    return texts, places, best / np.maximum((inks**2).sum((1, 2)), 1e-6)


@functools.cache
def _alphabet() -> tuple[str, np.ndarray, np.ndarray]:
    """The letters, their dots (letters, 35), and how many each has."""
    names = "".join(sorted(LETTERS))
    templates = np.stack([bitmap(name).reshape(-1) for name in names])
    return names, templates, templates.sum(1)


@functools.cache
def _overlaps(side: int) -> np.ndarray:
    """The mean of pixels under each dot as a matrix (32, S)."""
    edges = np.arange(DOTS + 1) * side / DOTS
    pixels = np.arange(side)
    shared = np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None])
    return np.asarray(shared.clip(min=0) * DOTS / side, dtype=np.float32)
