"""Text on pages: error rates by hand, a reader that reads what was written, and what damage does to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nextset.errors import UsageError
from nextset.evaluate.text import (
    ALPHABET,
    Glyphs,
    TextTest,
    builtin_font,
    edit_distance,
    error_rates,
    read_back,
    text_tests,
)


@pytest.fixture(scope="module")
def font() -> Glyphs:
    return builtin_font()


@pytest.fixture(scope="module")
def tests() -> list[TextTest]:
    return text_tests((64, 64), 3)


def test_edit_distances_by_hand() -> None:
    for a, b, distance in (
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "abc", 0),
        ("ab", "ba", 2),
    ):
        assert edit_distance(a, b) == edit_distance(b, a) == distance


def test_error_rates_by_hand() -> None:
    assert error_rates(["one two"], ["one two"]) == (0, 0)
    assert error_rates(["one two"], ["one  two\n"]) == (0, 0)
    assert error_rates(["one two", "three"], ["one", "thrre"]) == ((4 + 1) / 12, 2 / 3)
    assert error_rates(["ab"], ["xyzuvw q"])[0] == 4  # 8 edits of 2 characters: not clipped at 1
    with pytest.raises(UsageError, match="each of 2 truths, got 1"):
        error_rates(["a", "b"], ["a"])
    with pytest.raises(UsageError, match="empty"):
        error_rates([" "], ["a"])


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_every_character_is_read_back(font: Glyphs, scale: int) -> None:
    lines = [ALPHABET[i : i + 10] for i in range(0, len(ALPHABET), 10)] + ["a b  c", ""]
    size = (font.size[0] * scale * 9 + 5, font.size[1] * scale * 10 + 3)
    page = font.write(lines, size, scale)
    (found,) = font.read(page[None, :, :, None], scale)
    assert [line.rstrip() for line in found.split("\n")] == lines


def test_pale_letters_are_read_and_grey_is_blank(font: Glyphs) -> None:
    page = font.write(["Hello 42"], (11, 48), 1)[None, :, :, None]
    assert font.read(np.uint8(150 + page * (80 / 255)), 1) == ["Hello 42"]  # pale, still legible
    assert font.read(np.full_like(page, 128), 1) == [" " * 8]


def test_originals_are_read_without_error(tests: list[TextTest]) -> None:
    assert [test.name for test in tests] == [
        "text-11px",
        "text-22px",
    ]  # at 44 pixels there is no room for four characters
    assert all(read_back(test, test.pictures) == (0, 0) for test in tests)
    assert [test.identity for test in text_tests((64, 64), 3)] == [test.identity for test in tests]
    assert text_tests((64, 64), 1)[0].pictures.shape == (8, 1, 64, 64)


def blurred(images: Tensor, factor: int) -> Tensor:
    small = F.avg_pool2d(images, factor)
    return F.interpolate(small, size=images.shape[-2:], mode="bilinear")


def test_less_is_legible_the_more_is_lost(tests: list[TextTest]) -> None:
    small, large = tests
    rates = [read_back(small, blurred(small.pictures, factor))[0] for factor in (1, 2, 4, 8)]
    assert rates == sorted(rates)
    assert rates[0] == 0 < 0.8 < rates[-1]
    assert read_back(large, blurred(large.pictures, 4))[0] < rates[2]  # large letters survive what small ones do not


def test_any_reader_will_do() -> None:
    test = TextTest("mine", torch.zeros(2, 1, 4, 4), ["yes", "no"], lambda pictures: ["yes"] * len(pictures))
    assert read_back(test, test.pictures) == (3 / 5, 1 / 2)


def test_what_cannot_be_read_is_refused(font: Glyphs) -> None:
    with pytest.raises(UsageError, match="looks alike"):
        Glyphs({"a": np.eye(3, dtype=bool), "b": np.eye(3, dtype=bool)})
    with pytest.raises(UsageError, match="of one size"):
        Glyphs({"a": np.eye(3, dtype=bool), "b": np.eye(4, dtype=bool)})
    with pytest.raises(UsageError, match="a space needs none"):
        Glyphs({" ": np.eye(3, dtype=bool)})
    with pytest.raises(UsageError, match="the font has no"):
        font.write(["?"], (11, 48), 1)
    with pytest.raises(UsageError, match="holds 1 of 8 characters"):
        font.write(["too much for it"], (11, 48), 1)
    with pytest.raises(UsageError, match="at least 11x24, got 8x8"):
        text_tests((8, 8), 1)
    with pytest.raises(UsageError, match="one string for each picture"):
        TextTest("x", torch.zeros(2, 1, 4, 4), ["a"], lambda pictures: ["a"])
