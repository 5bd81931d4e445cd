"""Captions as words: how they are cut, what is known, and that order and padding count."""

from __future__ import annotations

import pytest
import torch

from nextset import UsageError
from nextset.conditions import Captions, vocabulary
from nextset.conditions.captions import NOTHING, words_of

CPU = torch.device("cpu")
SPEC = Captions(("a", "blue", "circle", "red"), slots=4, depth=1, heads=2)


def test_words_and_signs() -> None:
    assert words_of("A mother-in-law's  red/blue hat, 2.") == [
        "a",
        "mother-in-law's",
        "red",
        "/",
        "blue",
        "hat",
        ",",
        "2",
        ".",
    ]


def test_the_vocabulary_of_a_data_set() -> None:
    assert vocabulary(["a red circle", "A circle, a circle"]) == (",", "a", "circle", "red")
    assert vocabulary(["b b a", "c a b"], most=2) == ("a", "b")


def test_captions_end_in_the_last_slot() -> None:
    module = SPEC.build(8)
    nobody = [module.nobody] * 4
    assert module.prepare(["A red circle", None, "blue"], 3, CPU).tolist() == [
        [NOTHING, 1, 4, 3],
        nobody,
        [NOTHING, NOTHING, NOTHING, 2],
    ]
    assert module.prepare(None, 2, CPU).tolist() == [nobody] * 2
    assert module.prepare("blue", 2, CPU).tolist() == [[NOTHING] * 3 + [2]] * 2


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("a rde circle", "unknown word 'rde'.*red"),
        ("a red red red circle", "1 to 4 words"),
        ("  ", "1 to 4 words"),
    ],
)
def test_captions_that_it_cannot_read(caption: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SPEC.build(8).prepare(["red", caption], 2, CPU)


def test_training_captions_lose_what_it_does_not_know() -> None:
    """A rare or a long caption ends no training; asked for by a user it is refused (above)."""
    told = SPEC.of(torch.zeros(3), ["a big red circle", "nothing here", "a red blue red blue circle"])
    assert told == ["a red circle", None, "a red blue red"]
    assert SPEC.build(8).prepare(told, 3, CPU).shape == (3, 4)


@torch.inference_mode()
def test_every_word_knows_the_others() -> None:
    """The order of words counts, and each slot depends on each word."""
    torch.manual_seed(0)
    module = SPEC.build(8)
    one, other = (module(module.prepare([caption], 1, CPU)).prefix for caption in ("a red circle", "circle red a"))
    assert ((one - other).abs().amax(-1) > 1e-5).all()


@pytest.mark.parametrize("words", [(), ("a", "a"), ("A",), ("two words",), ("",)])
def test_vocabularies_that_make_no_sense(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="each once"):
        Captions(words)
