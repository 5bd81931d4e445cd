"""Next patches: the published curriculum, the loss by hand, and what it can and cannot reach."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from nextset import Model, UsageError, catalogue
from nextset.layout import Tokens, grid
from nextset.objectives import NextPatch, NextSet
from nextset.objectives.next_patch import corners, patches
from nextset.orders import Random
from nextset.wirings import Instructions

from ..laws.toys import conditions, lively, random_tokens, tiny


@pytest.mark.parametrize(
    ("levels", "ends"),
    [(1, {1: 300}), (2, {2: 150, 1: 300}), (3, {4: 75, 2: 150, 1: 300}), (4, {8: 37.5, 4: 75, 2: 150})],
)
def test_the_published_curriculum(levels: int, ends: dict[int, float]) -> None:
    """Of 300 epochs, by the side of a patch."""
    start = 0.0
    for side, end in ends.items():
        assert NextPatch(levels).side(start / 300) == NextPatch(levels).side((end - 0.01) / 300) == side
        start = end
    assert NextPatch(levels).side(1.0) == 1


def test_patches_are_blocks_of_the_picture() -> None:
    tokens = Tokens(torch.arange(24)[None], grid(4, 6))
    assert patches(tokens, 2)[0].tolist() == [
        [0, 1, 6, 7],
        [2, 3, 8, 9],
        [4, 5, 10, 11],
        [12, 13, 18, 19],
        [14, 15, 20, 21],
        [16, 17, 22, 23],
    ]
    coordinates = tokens.layout.coordinates()[corners(tokens.layout, 2, torch.device("cpu"))]
    assert torch.equal(coordinates, grid(2, 3).coordinates())


@pytest.fixture
def model() -> Model:
    return lively(tiny("next-patch"), double=True)


def test_single_tokens_are_next_set(model: Model) -> None:
    """To the bit: same loss, same gradients, dropout included."""
    tokens, found = Tokens(random_tokens(model, 4), model.system.layout), []
    for objective in (NextPatch(), NextSet()):
        torch.manual_seed(0)
        model.train().zero_grad()
        loss = objective.loss(model.network, tokens, conditions(model, 4), seed=0, progress=0.5)["loss"]
        loss.backward()
        found.append([loss, *(p.grad for p in model.network.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_loss_by_hand(model: Model) -> None:
    """A plain system of a quarter of the sites, given means of embeddings, against histograms of the next patch."""
    tokens, condition = random_tokens(model, 3), conditions(model, 3)
    ours = model.loss(Tokens(tokens, model.system.layout), condition, progress=0.2)["loss"]
    small = replace(model.system, size=(2, 2)).network().double().eval()
    small.load_state_dict(model.network.state_dict())
    blocks = tokens.reshape(3, 2, 2, 2, 2).transpose(2, 3).reshape(3, 4, 4)
    means = small.wiring.embed(blocks).mean(2)
    small.wiring.embed = torch.nn.Embedding.from_pretrained(means.flatten(0, 1))
    plan = small.plan(0, 3, torch.device("cpu"))
    hidden = small.hidden(torch.arange(12).reshape(3, 4), small.condition(condition), plan)
    histogram = F.one_hot(blocks, 5).double().mean(2)
    assert torch.allclose(ours, F.cross_entropy(small.head.logits(hidden).flatten(0, 1), histogram.flatten(0, 1)))


def test_the_loss_is_bounded_by_the_spread_inside_patches(model: Model) -> None:
    """Overfitting one picture reaches the entropy of its patches' histograms: 0 where patches are even, more where not."""
    even = torch.tensor([[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2).flatten()
    mixed = torch.tensor([[0, 1, 1, 0], [0, 1, 0, 1], [2, 3, 2, 3], [3, 2, 2, 3]]).flatten()
    for picture, bound in ((even, 0.0), (mixed, math.log(2))):
        torch.manual_seed(0)
        network = replace(model.system, objective=NextPatch(rate=0.9)).network().eval()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(100):
            losses = network(picture[None], torch.zeros(1, dtype=torch.int64), 0, 0.0)
            optimizer.zero_grad()
            losses["loss"].backward()
            optimizer.step()
        assert bound - 1e-6 <= losses["loss"].item() < bound + 0.05


def test_what_does_not_fit() -> None:
    base = catalogue.spec("llamagen/tiny")
    with pytest.raises(UsageError, match="patches of 8 x 8"):
        replace(base, objective=NextPatch(4)).network()
    with pytest.raises(UsageError, match="use Shift"):
        replace(base, objective=NextPatch(), wiring=Instructions(2), order=Random()).network()
    with pytest.raises(UsageError, match="rate"):
        NextPatch(rate=1.0)
    assert replace(base, objective=NextPatch(1), wiring=Instructions(2)).network()
