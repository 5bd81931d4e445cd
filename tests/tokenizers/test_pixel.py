"""Pixels as tokens: exact both ways."""

from __future__ import annotations

import pytest
import torch

from nextset import UsageError
from nextset.tokenizers.pixel import Pixel


@pytest.mark.parametrize(("levels", "channels"), [(2, 1), (17, 1), (256, 1), (65536, 1), (2, 3), (25, 3), (40, 3)])
def test_every_id_comes_back(levels: int, channels: int) -> None:
    """All grey levels and all colours, through their picture."""
    part = Pixel(levels, channels)
    vocab = part.unit.vocab
    assert vocab == levels**channels
    width = next(w for w in range(int(vocab**0.5), 0, -1) if vocab % w == 0)
    module = part.build()
    images = torch.zeros(1, channels, vocab // width, width)
    tokens = module.encode(images)
    tokens.data[0] = torch.arange(vocab)
    images = module.decode(tokens)
    assert images.min() == -1
    assert images.max() == 1
    assert torch.equal(module.encode(images).data[0], torch.arange(vocab))


def test_levels_of_pictures_are_exact() -> None:
    """256 levels are the 256 values of a byte, as pictures are read; 17 those of the digits."""
    for levels in (256, 17):
        given = torch.arange(levels)
        images = (given / ((levels - 1) / 2) - 1).view(1, 1, 1, -1)
        assert torch.equal(Pixel(levels).build().encode(images).data[0], given)


def test_other_values_go_to_the_nearest_level() -> None:
    images = torch.tensor([-1.0, -0.76, -0.74, 0.24, 0.26, 0.99, 1.005, -1.005]).view(1, 1, 2, 4)
    assert Pixel(5).build().encode(images).data.tolist() == [[0, 0, 1, 2, 3, 4, 4, 0]]


def test_the_first_channel_weighs_most() -> None:
    images = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1)
    assert Pixel(3, 3).build().encode(images).data.tolist() == [[2 * 9 + 0 * 3 + 1]]


@pytest.mark.parametrize(("levels", "channels", "word"), [(1, 1, "levels"), (5, 2, "channels"), (41, 3, "at most 40")])
def test_bad_alphabets_are_refused(levels: int, channels: int, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Pixel(levels, channels)
