"""Extractors: what they take, what names them, and the classifier that is trained once and kept."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import pytest
import torch

from nextset.data.digits import Digits
from nextset.data.shapes import Shapes
from nextset.digest import weights_hash
from nextset.errors import UsageError
from nextset.evaluate import classifier, tiny_random, trained
from nextset.evaluate.classifier import RECIPES, Augment, Recipe
from nextset.evaluate.features import ConvExtractor

SHORT = dataclasses.replace(RECIPES["digits"], name="short", width=4, dim=8, epochs=1)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """A recipe of a second, and the empty cache folder that it goes to."""
    monkeypatch.setitem(RECIPES, "digits", SHORT)
    return cache


def kept(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_digits_are_told_apart() -> None:
    extractor = trained("digits")
    assert extractor.accuracy is not None
    assert extractor.accuracy >= 0.98
    assert extractor.identity.startswith("digits-cnn-v1:")
    images = torch.stack([torch.from_numpy(Digits("test")[i].image).movedim(-1, 0) / 127.5 - 1 for i in range(360)])
    labels = torch.tensor([Digits("test")[i].label for i in range(360)])
    features = extractor.features(images)
    assert (features.shape, features.dtype) == ((360, extractor.dim), torch.float32)
    right = (extractor.logits(features).argmax(1) == labels).double().mean().item()
    assert right == extractor.accuracy


def test_trained_once(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.get_rng_state()
    first = trained("digits")
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(classifier, "train", None)  # would be called, were the file not used
    second = trained("digits")
    assert second.identity == first.identity
    assert second.accuracy == first.accuracy
    x = torch.rand(3, 1, 8, 8) * 2 - 1
    assert torch.equal(first.features(x), second.features(x))


def test_training_repeats_itself(short: Path) -> None:
    first = trained("digits")
    kept(short).unlink()
    torch.rand(5)  # the global generator is somewhere else now
    assert trained("digits").identity == first.identity


def test_training_uses_one_thread_whatever_is_set(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, seen = classifier._fit, []
    monkeypatch.setattr(classifier, "_fit", lambda *given: (seen.append(torch.get_num_threads()), fit(*given)))
    torch.set_num_threads(2)
    try:
        trained("digits")
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_cache_is_replaced(short: Path, damage: str) -> None:
    first = trained("digits")
    path = kept(short)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-3] ^= 0x10  # the last tensor is a weight: the file stays readable, the numbers change
    path.write_bytes({"cut": content[:500], "flipped": content, "foreign": b"text"}[damage])
    with pytest.warns(UserWarning, match=f"{path.name} is damaged.*anew"):
        second = trained("digits")
    assert second.identity == first.identity
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained("digits")


def test_shapes_have_a_recipe(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "shapes", dataclasses.replace(RECIPES["shapes"], width=4, items=1280, epochs=4))
    extractor = trained("shapes")
    assert extractor.classes == len(Shapes("test").classes) == 36
    assert extractor.features(torch.zeros(2, 3, 32, 32)).shape == (2, 64)
    assert extractor.accuracy is not None
    assert extractor.accuracy > 2 / 36  # eighty steps, and better than chance: 2000 pictures know it to 0.004


def test_a_cache_that_cannot_be_written_only_warns(short: Path) -> None:
    short.parent.mkdir(exist_ok=True)
    short.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="trained again next time"):
        assert trained("digits").dim == 8


def test_another_recipe_is_another_file(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained("digits")
    monkeypatch.setitem(RECIPES, "digits", dataclasses.replace(SHORT, seed=1))
    trained("digits")
    assert len(list(short.iterdir())) == 2


def test_unknown_data_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        trained("digit")


def test_recipes_are_specs() -> None:
    for recipe in RECIPES.values():
        assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_augmentation_moves_and_keeps_black_black(generator: torch.Generator) -> None:
    dot = torch.full((200, 1, 8, 8), -1.0)
    dot[:, :, 3:5, 3:5] = 1.0
    moved = Augment(shift=0.25).apply(dot, generator)
    assert (moved.amax((1, 2, 3)) > 0).all()  # a quarter of 8 pixels: still inside
    assert moved[:, :, 0, 0].max() == -1
    weight = (moved + 1).sum((1, 2))
    columns = (weight * torch.arange(8)).sum(1) / weight.sum(1)
    assert columns.min() < 2.0  # 3.5 - 2 at the most
    assert columns.max() > 5.0
    assert torch.equal(Augment().apply(dot, generator), dot)
    noisy = Augment(noise=0.1).apply(dot, generator) - dot
    assert noisy.std().item() == pytest.approx(0.1, rel=0.05)  # 12 800 draws


def test_turning_is_a_rotation(generator: torch.Generator) -> None:
    dots = torch.full((300, 1, 9, 9), -1.0)
    dots[:, :, 4, 8] = 1.0  # the middle of the right edge
    turned = (Augment(turn=30.0).apply(dots, generator) + 1)[:, 0]
    rows = (turned * torch.arange(9.0)[None, :, None]).sum((1, 2)) / turned.sum((1, 2)) - 4
    assert rows.abs().max() == pytest.approx(4 * 0.5, abs=0.5)  # sin 30 degrees; half a pixel of interpolation
    assert rows.min() < -1
    assert rows.max() > 1


def test_identity_follows_the_weights() -> None:
    a, b = ConvExtractor("x", 3, 32, 5, 4, 16), ConvExtractor("x", 3, 32, 5, 4, 16)
    assert a.identity != b.identity
    b.load_state_dict(a.state_dict())
    assert weights_hash(a) == weights_hash(b)
    assert a.features(torch.zeros(2, 3, 32, 32)).shape == (2, 16)
    assert not a.train().training


def test_random_extractor_is_marked() -> None:
    extractor = tiny_random(channels=3, dim=32, seed=5)
    assert not extractor.comparable
    assert extractor.identity == tiny_random(3, 32, seed=5).identity != tiny_random(3, 32, seed=6).identity
    assert extractor.features(torch.zeros(2, 3, 20, 28)).shape == (2, 32)
    with pytest.raises(UsageError, match="does not classify"):
        extractor.logits(torch.zeros(2, 32))


def test_misfits_are_refused() -> None:
    extractor = ConvExtractor("x", 1, 8, 5, 4, 16)
    for images in (torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 16, 16), torch.zeros(1, 8, 8)):
        with pytest.raises(UsageError, match=r"extractor x takes images \(B, 1, 8, 8\)"):
            extractor.features(images)
    with pytest.raises(UsageError, match="floating point"):
        extractor.features(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(UsageError, match="power of two"):
        ConvExtractor("x", 1, 12, 5, 4, 16)
