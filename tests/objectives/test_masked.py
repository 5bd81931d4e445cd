"""Objectives of masks, on networks small enough to enumerate every mask."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import nextset
from nextset import Model, UsageError
from nextset.layout import Tokens
from nextset.nn.masking import Arccos, Cosine, Masking, Power
from nextset.noise import spread
from nextset.objectives import AnyOrder, MaskedDiffusion, MaskedTokens, Objective
from nextset.objectives.any_order import costs
from nextset.orders import Plan
from nextset.tokenizers.pixel import Pixel
from tests.laws.toys import BASE, conditions, lively, random_tokens

SITES = 4
MASKS = torch.tensor(list(itertools.product((False, True), repeat=SITES)))  # known


def toy(name: str) -> Model:
    """2 x 2 pixels of 3 levels."""
    return lively(replace(nextset.spec(f"{name}/tiny"), tokenizer=Pixel(3), size=(2, 2)), double=True)


@torch.no_grad()
def mask_losses(model: Model, tokens: Tensor) -> Tensor:
    """The loss of every site of one picture (1, N) under every mask, (M, N), zero where known."""
    asked = model.network.condition(conditions(model, 1).expand(len(MASKS)))
    rows = tokens.expand(len(MASKS), -1)
    return model.network.head.loss(model.network.revealed(rows, MASKS, asked), rows) * ~MASKS


@torch.no_grad()
def average_over_orders(model: Model, tokens: Tensor) -> Tensor:
    """-ln p in nats a site, averaged over all 24 orders by the chain rule."""
    network, found = model.network, []
    for perm in itertools.permutations(range(SITES)):
        plan = Plan(torch.tensor(perm), (1,) * SITES)
        hidden = network.hidden(tokens, network.condition(conditions(model, 1)), plan)
        found.append(-network.head.log_prob(hidden, plan.to_ranks(tokens)).mean())
    return torch.stack(found).mean()


@pytest.mark.parametrize("name", ["ardm", "md4"])
def test_masks_and_orders_cost_the_same(name: str) -> None:
    """The sum over t of ARDM's mean costs is the average over orders of the chain rule: exact, by enumeration."""
    model = toy(name)
    tokens = random_tokens(model, 1)
    losses, known = mask_losses(model, tokens), MASKS.sum(1)
    by_count = [losses[known == t].sum(1).mean() / (SITES - t) for t in range(SITES)]
    assert torch.stack(by_count).mean() == pytest.approx(float(average_over_orders(model, tokens)), abs=1e-9)


@pytest.mark.parametrize("masking", [Power(), Power(3.0), Cosine(), Arccos()], ids=str)
def test_no_schedule_changes_the_bound(masking: Masking) -> None:
    """MD4's integral over time, by enumeration of masks, is the average over orders for every schedule."""
    model = toy("md4")
    tokens = random_tokens(model, 1)
    losses, masked = mask_losses(model, tokens).sum(1) / SITES, (~MASKS).sum(1)
    even = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    share, weight = MaskedDiffusion(masking, 1e-9).at(even * (2 - even))  # denser where the arccosine is steep
    chance = share[:, None] ** masked * (1 - share[:, None]) ** (SITES - masked)
    total = (2 * (1 - even) * weight * (chance * losses).sum(1)).mean()
    assert float(total) == pytest.approx(float(average_over_orders(model, tokens)), rel=1e-6)


@pytest.mark.parametrize("objective", [AnyOrder(), MaskedDiffusion(), MaskedDiffusion(Cosine(), 1e-3)], ids=str)
def test_estimates_are_unbiased(objective: Objective) -> None:
    """What training draws averages to the bound."""
    model = toy("ardm")
    tokens, asked = random_tokens(model, 1), conditions(model, 1)
    many = Tokens(tokens.expand(4096, -1), model.system.layout)
    with torch.no_grad():
        found = [objective.loss(model.network, many, asked.expand(4096), seed)["loss"] for seed in range(4)]
    assert float(torch.stack(found).mean()) == pytest.approx(float(average_over_orders(model, tokens)), rel=0.03)


def test_measured_costs_sum_to_the_bound() -> None:
    model = toy("ardm")
    tokens, asked = random_tokens(model, 1), conditions(model, 1)
    found = costs(model.network, Tokens(tokens.expand(2048, -1), model.system.layout), asked.expand(2048))
    assert found.shape == (SITES,)
    assert float(found.mean()) == pytest.approx(float(average_over_orders(model, tokens)), rel=0.02)


def test_maskgit_weighs_what_it_sees() -> None:
    """The mean over masked sites, or with seen ones at a tenth; as many sites are masked as the curve says."""
    model, seen = toy("maskgit"), []
    reveal = model.network.revealed

    def watched(tokens: Tensor, known: Tensor, conditioning: object) -> Tensor:
        seen.append((known, reveal(tokens, known, conditioning)))  # type: ignore[arg-type]
        return seen[-1][1]

    model.network.revealed = watched  # type: ignore[assignment,method-assign]
    tokens, asked = random_tokens(model, 512), conditions(model, 512)
    for weight in (0.0, 0.1):
        with torch.no_grad():
            figures = MaskedTokens(Power(), weight).loss(model.network, Tokens(tokens, model.system.layout), asked, 3)
            known, hidden = seen[-1]
            losses = model.network.head.loss(hidden, tokens)
        masked, shown = losses[~known], losses[known]
        expected = (masked.sum() + weight * shown.sum()) / (len(masked) + weight * len(shown))
        torch.testing.assert_close(figures["loss"], expected)
        torch.testing.assert_close(figures["masked"], masked.mean())
        counts = (~known).sum(1)
        assert counts.min() == 1
        assert abs(counts.double().mean() - (SITES / 2 + 1 / 8)) < 0.2  # uniform, and none becomes one


def test_times_are_spread() -> None:
    """One in every slot of the interval, each uniform over seeds."""
    for seed in range(5):
        numbers = spread(seed, 16)
        assert sorted((numbers * 16).floor().int().tolist()) == list(range(16))
        assert 0 <= numbers.min() <= numbers.max() < 1
    first = torch.stack([spread(seed, 4)[0] for seed in range(400)])
    assert abs(first.mean() - 0.5) < 0.05


def test_they_need_masks() -> None:
    with pytest.raises(UsageError, match="objective AnyOrder .* wiring Shift"):
        replace(BASE, objective=AnyOrder()).network()


def test_edges() -> None:
    with pytest.raises(UsageError, match="edge"):
        MaskedDiffusion(edge=0.0)
    with pytest.raises(UsageError, match="seen"):
        MaskedTokens(seen=-0.1)
