"""Bitwise self-correction: what travels in tokens, what the network sees of it, and where pictures are needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nextset import Model, UsageError, catalogue
from nextset.layout import Tokens, pyramid
from nextset.objectives import NextSet, SelfCorrection
from nextset.tokenizers.bsq import MultiScaleBSQModule
from nextset.train import Recipe, set_up_generator
from tests.laws.toys import conditions, lively, random_images, random_tokens

PART = SelfCorrection()


@pytest.fixture(scope="module")
def model() -> Model:
    return lively(catalogue.spec("infinity/tiny"))


def practised(model: Model, images: Tensor, seed: int = 0, part: SelfCorrection = PART) -> Tensor:
    return part.practised(model.tokenizer, images, model.system.layout, seed).data


def test_tokens_carry_labels_and_flips(model: Model) -> None:
    """Labels are what the tokenizer makes of pictures under these flips, which follow from the seed."""
    images, layout = random_images(model, 8), model.system.layout
    found = practised(model, images)
    assert isinstance(model.tokenizer, MultiScaleBSQModule)
    flips = PART.flips(8, 3, layout, 0)
    assert torch.equal(found // 2, flips.long())
    assert torch.equal(found % 2, model.tokenizer.corrected(images, layout, flips).data)
    assert torch.equal(practised(model, images), found)
    assert not torch.equal(practised(model, images, seed=1), found)


def test_shares_of_flips() -> None:
    """One share a scale and batch, of 0 .. strength in hundredths; none beyond the scales that are meant."""
    layout = pyramid(16, 16, 16)
    drawn = torch.stack([SelfCorrection(0.3, 2).flips(4, 8, layout, seed) for seed in range(200)]).double()
    shares = drawn.unflatten(2, (3, 256)).mean((1, 3, 4))
    assert (shares[:, 2] == 0).all()
    assert shares[:, :2].max() < 0.33
    assert abs(shares[:, :2].mean() - 0.15) < 0.02
    assert torch.corrcoef(shares[:, :2].T)[0, 1].abs() < 0.3


def test_the_network_sees_flips_and_predicts_labels(model: Model) -> None:
    """By hand: hidden vectors of the flipped bits, scored on the labels, weighed by scale."""
    network, layout = model.network, model.system.layout
    labels, flips = random_tokens(model, 4), random_tokens(model, 4, seed=1)
    condition = conditions(model, 4)
    with torch.no_grad():
        loss = PART.loss(network, Tokens(labels + 2 * flips, layout), condition, 0)["loss"]
        hidden = network.hidden(labels ^ flips, network.condition(condition), network.plan(0, 4, model.device))
        each = network.head.loss(hidden, labels) / 3
    counts = torch.tensor([1.0, 2.0, 4.0])
    weights = torch.cat([torch.full((int(n),), n.item() ** -0.5) for n in counts])
    torch.testing.assert_close(loss, (each * weights / weights.sum()).sum(1).mean())
    with torch.no_grad():
        plain = SelfCorrection(reweighted=False).loss(network, Tokens(labels, layout), condition, 0)["loss"]
        same = NextSet().loss(network, Tokens(labels, layout), condition, 0)["loss"]
    torch.testing.assert_close(plain, same / 3)


def test_pictures_are_spoilt_in_training_alone(model: Model) -> None:
    """In evaluation, without flips, and for tokens, the loss is that of the bits as they are."""
    images, condition = random_images(model, 4), conditions(model, 4)
    tokens = model.encode(images)
    with torch.no_grad():
        judged = model.eval().loss(images, condition)["loss"]
        assert torch.equal(judged, model.loss(tokens, condition)["loss"])
        torch.manual_seed(0)
        trained = model.train().loss(images, condition, seed=3)["loss"]
        torch.manual_seed(0)
        still = model.loss(tokens, condition, seed=3)["loss"]
    assert not torch.equal(trained, still)
    quiet = SelfCorrection(0.0)
    assert not quiet.pictures
    assert torch.equal(practised(model, images, part=quiet), tokens.data)


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"strength": -0.1}, {"scales": -1}])
def test_bad_specs(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="strength"):
        replace(PART, **wrong)


@pytest.mark.parametrize("name", ["llamagen", "var", "dnd-transformer"])
def test_only_bits_are_corrected(name: str) -> None:
    with pytest.raises(UsageError, match="SelfCorrection.* corrects bits"):
        replace(catalogue.spec(f"{name}/tiny"), objective=PART).network()


def test_token_caches_are_refused(model: Model, tmp_path: Path) -> None:
    """They hold no pictures whose bits could be flipped."""
    for name in ("index.json", "00000.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="SelfCorrection has a say"):
        set_up_generator(model, str(tmp_path), Recipe(steps=1))
