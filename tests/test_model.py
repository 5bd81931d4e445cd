"""What users call: conditions of many forms, pictures while they are written, edits, errors."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from nextset import Model, Pick, Tokens, UsageError, catalogue
from nextset.backbones import Transformer
from nextset.conditions import Unconditional
from nextset.decode import Constant
from nextset.layout import grid
from nextset.mixers import BiasedAttention
from nextset.orders import Random
from nextset.tokenizers.vq import VQ
from nextset.wirings import Queries
from tests.laws.own import Growing
from tests.laws.toys import BASE, lively, random_images, random_tokens

SIDE = BASE.size[0]


@pytest.fixture
def model() -> Model:
    return lively(BASE)


def test_conditions_of_many_forms(model: Model) -> None:
    """One label, many, none; `count` pictures of one."""
    one = model.generate(1, seed=3)
    assert one.shape == (1, 1, SIDE, SIDE)
    three = model.generate(1, count=3, seed=3)
    assert torch.equal(three[:1], one)
    assert torch.equal(model.generate([1, 1, 1], seed=3), three)
    assert model.generate(count=2).shape[0] == 2
    with pytest.raises(UsageError, match="3 labels for 2 samples"):
        model.generate([0, 1, 2], count=2)


def test_images_are_in_range(model: Model) -> None:
    images = model.generate([0, 1, 2], seed=1)
    assert images.min() >= -1
    assert images.max() <= 1
    assert images.unique().numel() > 2


def test_defaults_are_the_systems(model: Model) -> None:
    """What the caller does not say, the system does."""
    greedy = lively(replace(BASE, pick=Pick(temperature=0), guidance=Constant(3.0)))
    expected = model.generate([0, 1], guidance=3.0, pick=Pick(temperature=0))
    assert torch.equal(greedy.generate([0, 1]), expected)
    assert torch.equal(greedy.generate([0, 1], seed=9), expected)
    assert not torch.equal(greedy.generate([0, 1], guidance=-3.0), expected)


def test_unconditional_pictures_need_no_condition() -> None:
    plain = lively(replace(BASE, condition=Unconditional(), guidance=Constant(1.0)))
    assert plain.generate(count=3).shape[0] == 3
    assert plain.log_prob(plain.generate(count=2)).shape == (2,)
    with pytest.raises(UsageError, match="unconditional"):
        plain.generate(1)


def test_bad_arguments_are_refused_at_the_call(model: Model) -> None:
    """Not when the first picture is asked for."""
    with pytest.raises(UsageError, match="condition"):
        model.stream("a cat")
    with pytest.raises(UsageError, match="count must be at least 1, got -2"):
        model.generate(1, count=-2)
    with pytest.raises(UsageError, match="condition is empty"):
        model.generate(torch.zeros(0, dtype=torch.int64))
    with pytest.raises(UsageError, match="images"):
        model.encode(torch.zeros(0, 1, SIDE, SIDE))


def test_partial_pictures(model: Model) -> None:
    """What is known is what the end shows there; the rest is mid-grey."""
    last = model.generate([0, 1], seed=1)
    for partial in model.stream([0, 1], seed=1):
        shown = partial.images()
        known = partial.decoding.known.view(1, 1, SIDE, SIDE).expand_as(last)
        assert torch.equal(shown[known], last[known])
        assert (shown[~known] == 0).all()


def test_partial_pictures_of_own_orders() -> None:
    """Each sample shows its own sites."""
    model = lively(replace(BASE, order=Growing(), wiring=Queries()))
    last = model.generate([0, 1], seed=1)
    partial = next(iter(model.stream([0, 1], seed=1)))
    shown = partial.images() != 0
    assert (partial.decoding.known.sum(1) == 1).all()
    assert (shown.flatten(1).sum(1) <= 1).all()
    known = partial.decoding.known.view(2, 1, SIDE, SIDE)
    assert torch.equal(partial.images()[known], last[known])


def test_drawing_makes_no_graph_and_ends_in_evaluation_mode(model: Model) -> None:
    model.train()
    images = model.generate(0)
    assert not images.requires_grad
    assert not model.training
    model.train()
    model.log_prob(images, 0)
    assert not model.training


def test_the_tokenizer_is_frozen_and_never_trains() -> None:
    model = lively(replace(BASE, tokenizer=VQ(8, 4, 8, (1, 2), blocks=1, latent=8, groups=4))).train()
    assert model.network.training
    assert not model.tokenizer.training
    assert not any(p.requires_grad for p in model.tokenizer.parameters())
    before = {k: v.clone() for k, v in model.tokenizer.state_dict().items()}
    model.loss(random_images(model, 2), [0, 1])["loss"].backward()
    assert all(torch.equal(v, before[k]) for k, v in model.tokenizer.state_dict().items())


def test_tokens_stand_for_their_images(model: Model) -> None:
    images = random_images(model, 3)
    tokens = model.encode(images)
    assert torch.equal(model.decode(tokens), images)
    assert torch.equal(model.log_prob(tokens, [0, 1, 2]), model.log_prob(images, [0, 1, 2]))
    with pytest.raises(UsageError, match="images: tokens on"):
        model.log_prob(Tokens(tokens.data[:, :4], grid(2, 2)), [0, 1, 2])


def test_training_drops_conditions_and_evaluation_does_not(model: Model) -> None:
    tokens = Tokens(random_tokens(model, 64), model.system.layout)
    labels = torch.zeros(64, dtype=torch.int64)
    steady = model.eval().loss(tokens, labels)["loss"]
    assert torch.equal(model.loss(tokens, labels)["loss"], steady)
    dropless = lively(replace(BASE, backbone=replace(BASE.backbone, dropout=0.0))).train()
    losses = {dropless.loss(tokens, labels)["loss"].item() for _ in range(4)}
    assert len(losses) > 1


# editing


def test_edit_conditions_on_what_it_keeps(model: Model) -> None:
    """The lower half is drawn given the upper one: other upper halves, other lower ones, with the same random numbers."""
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[SIDE // 2 :] = True
    images = random_images(model, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a raster order knows all that is kept: no warning
        edited = model.edit(images, mask, 0, seed=5)
    other = model.edit(images.flip(-1), mask, 0, seed=5)
    assert torch.equal(edited[:, :, : SIDE // 2], images[:, :, : SIDE // 2])
    assert not torch.equal(edited[:, :, SIDE // 2 :], other[:, :, SIDE // 2 :])


def test_edit_warns_of_what_it_cannot_know(model: Model) -> None:
    """Half of the kept sites come after the redrawn ones."""
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[0] = True
    with pytest.warns(UserWarning, match="100% of the kept sites"):
        model.edit(random_images(model, 1), mask, 0)


def test_edit_of_nothing_is_the_image(model: Model) -> None:
    images = torch.rand(2, 1, SIDE, SIDE) * 2 - 1
    nothing = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    assert torch.equal(model.edit(images, nothing, 0), images)


def test_first_moves_an_edit_along_the_streams(model: Model) -> None:
    mask = torch.ones(SIDE, SIDE, dtype=torch.bool)
    images = random_images(model, 3)
    together = model.edit(images, mask, [0, 1, 2], seed=3)
    assert torch.equal(model.edit(images[2:], mask, [2], seed=3, first=2), together[2:])


@pytest.mark.parametrize("mask", [torch.ones(SIDE, SIDE + 1), torch.ones(SIDE), torch.ones(3, SIDE, SIDE), None])
def test_masks_that_do_not_fit(model: Model, mask: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="mask"):
        model.edit(random_images(model, 2), mask, 0)


def test_the_same_weights_under_another_system(model: Model) -> None:
    """Shared, not copied; in an order and a size of their own choice they still draw."""
    free = lively(catalogue.spec("randar/tiny"))
    fewer = free.under(replace(free.system, order=Random(4)))
    assert len(list(fewer.stream([1], seed=2))) == 4
    larger = free.under(replace(free.system, size=(6, 4)))
    assert larger.generate([1, 2], seed=2).shape == (2, 1, 6, 4)
    own, shared = free.network.wiring.embed.weight, larger.network.wiring.embed.weight
    assert own.data_ptr() == shared.data_ptr()
    with pytest.raises(UsageError, match=r"backbone.*do not fit|do not fit.*backbone"):
        model.under(replace(BASE, backbone=replace(BASE.backbone, dim=32)))


def test_weights_with_a_table_of_positions_have_one_size() -> None:
    tied = lively(replace(BASE, backbone=Transformer(16, 1, BiasedAttention(2), learned=True)))
    with pytest.raises(UsageError, match="learned positions belong to one size"):
        tied.under(replace(tied.system, size=(6, 4)))


def test_outpainting_keeps_the_picture() -> None:
    """In the place that the margins give it; any-order systems know it from the start."""
    model = lively(catalogue.spec("randar/tiny"))
    images = model.generate([1, 2], seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = model.outpaint(images, (1, 2, 0, 3), [1, 2], seed=4)
    assert drawn.shape == (2, 1, SIDE + 3, SIDE + 3)
    assert torch.equal(drawn[:, :, 1 : 1 + SIDE, :SIDE], images)
    assert not torch.equal(drawn, model.outpaint(images, (1, 2, 0, 3), [1, 2], seed=5))
    for wrong in ((0, 0, 0, 0), (-1, 2, 0, 0)):
        with pytest.raises(UsageError, match="margins"):
            model.outpaint(images, wrong, [1, 2])
