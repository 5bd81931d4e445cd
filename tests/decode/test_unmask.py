"""The engine of adaptive orders: what it draws, what it keeps, and how many rows run when."""

from __future__ import annotations

import collections
from dataclasses import replace

import pytest
import torch

import nextset
from nextset import Model, Pick, System
from nextset.decode import Constant, Interval
from nextset.layout import Tokens
from nextset.nn.masking import Cosine, Power
from nextset.noise import Noise
from nextset.orders import Adaptive, Confidence, Unmasking
from nextset.tokenizers.pixel import Pixel
from tests.laws.toys import all_tokens, assert_drawn_from, conditions, lively, place, random_tokens

ORDERS = (Confidence(4), Confidence(3, Cosine(), (2.0, 0.0), (2.0, 0.0), (1.3, 0.5)), Unmasking(4), Unmasking(20))
over_orders = pytest.mark.parametrize("order", ORDERS, ids=str)


def system(order: Adaptive) -> System:
    """A tiny MaskGIT in this order."""
    return replace(nextset.spec("maskgit/tiny"), order=order)


@over_orders
def test_a_sample_is_the_same_in_any_batch(order: Adaptive) -> None:
    model = lively(system(order))
    asked = conditions(model, 5)
    together = model.generate(asked, seed=7)
    assert torch.equal(model.generate(asked[3:], seed=7, first=3), together[3:])
    assert not torch.equal(model.generate(asked, seed=8), together)


@over_orders
def test_steps_only_add(order: Adaptive) -> None:
    """Every step adds sites, as many as the order counts on where it does; what is known does not change any more."""
    model = lively(system(order))
    known, tokens = torch.zeros(3, 16, dtype=torch.bool), torch.zeros(3, 16, dtype=torch.int64)
    added = []
    for partial in model.stream(conditions(model, 3), seed=1):
        state = partial.decoding
        assert (state.known & known).sum() == known.sum() < state.known.sum()
        assert torch.equal(state.tokens.data[known], tokens[known])
        added.append((state.known & ~known).sum(1))
        known, tokens = state.known.clone(), state.tokens.data.clone()
    assert known.all()
    assert partial.step == partial.steps
    if isinstance(order, Confidence):
        assert [row.tolist() for row in added] == [[count] * 3 for count in order.counts(model.system.layout)]


@over_orders
def test_edits_know_what_is_given_from_the_start(order: Adaptive) -> None:
    """Every call of the network already has the given tokens, the kept part is exact, and nothing warns."""
    model = lively(system(order))
    images = model.generate(conditions(model, 2), seed=0)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[:3] = True
    given, reveal = model.encode(images).data[:, 12:], model.network.revealed
    seen: list[torch.Tensor] = []

    def watched(tokens: torch.Tensor, known: torch.Tensor, conditioning: object) -> torch.Tensor:
        seen.append(known[:, 12:].all() & (tokens[:2, 12:] == given).all())
        return reveal(tokens, known, conditioning)  # type: ignore[arg-type]

    model.network.revealed = watched  # type: ignore[assignment,method-assign]
    edited = model.edit(images, mask, conditions(model, 2), seed=3)
    assert seen
    assert all(seen)
    assert torch.equal(edited[..., 3:, :], images[..., 3:, :])
    assert not torch.equal(edited, images)


def test_the_unguided_half_runs_in_guided_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = lively(system(Confidence(4))), []
    forward = model.network.backbone.forward
    monkeypatch.setattr(model.network.backbone, "forward", lambda s, c=None: (rows.append(len(s.x)), forward(s, c))[1])
    model.generate(conditions(model, 2), guidance=Interval(2.0, 4, 9))
    counts = Confidence(4).counts(model.system.layout)
    done = [sum(counts[:k]) for k in range(4)]
    assert rows == [4 if 4 <= d < 9 else 2 for d in done]


def test_the_coldest_pick_takes_the_likeliest() -> None:
    """One step: no site depends on another, so each is the argmax of what the network says of an empty picture."""
    model = lively(system(Confidence(1)))
    network, asked = model.network, conditions(model, 2)
    *_, last = model.stream(asked, guidance=1.0, pick=Pick(temperature=0))
    nothing = torch.zeros(2, 16, dtype=torch.bool)
    with torch.no_grad():
        logits = network.head.logits(network.revealed(torch.zeros(2, 16).long(), nothing, network.condition(asked)))
    assert torch.equal(last.decoding.tokens.data, logits.argmax(-1))


def distribution(model: Model, due: torch.Tensor, asked: torch.Tensor, scale: float) -> torch.Tensor:
    """p of every picture of a toy where sites become known in the steps `due` (N,)."""
    network, tokens = model.network, all_tokens(model.system)
    condition = asked.expand(len(tokens), *asked.shape[1:])
    halves, total = (network.condition(condition), network.condition.null(condition)), torch.zeros(len(tokens))
    for step in due.unique():
        known = (due < step).expand(len(tokens), -1)
        hidden, unguided = (network.revealed(tokens, known, half) for half in halves)
        log_probs = network.head.log_prob(hidden, tokens, unguided, scale)
        total += (log_probs * (due == step)).sum(1)
    return total.exp()


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("order", [Unmasking(2), Unmasking(3, Power(2.0), Cosine()), Unmasking(64)], ids=str)
def test_unmasking_draws_the_model(order: Unmasking, scale: float) -> None:
    """Law 5: what is drawn follows the enumerated distribution, averaged over the steps that were drawn for the sites."""
    small = replace(system(order), tokenizer=Pixel(3), size=(2, 2))
    model, count, seed = lively(small), 4000, 5
    asked = conditions(model, 2)[1:]
    due = order.chooser(small.layout, Noise(seed, range(count))).due
    expected = torch.zeros(81)
    ranks = (due[:, :, None] > due[:, None, :]).sum(2)  # only which comes first matters, and which together
    with torch.no_grad():
        for plan, times in zip(*ranks.unique(dim=0, return_counts=True), strict=True):
            expected += distribution(model, plan, asked, scale) * times
    (last,) = collections.deque(model.stream(asked.expand(count), seed=seed, guidance=scale, pick=Pick()), maxlen=1)
    found = torch.bincount(place(small, last.decoding.tokens.data), minlength=81)
    assert_drawn_from(found, expected)


def test_guidance_of_1_computes_no_null(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(system(Unmasking(3)))
    monkeypatch.setattr(model.network.condition, "null", None)
    assert model.generate(conditions(model, 2), guidance=Constant(1.0)).isfinite().all()


@over_orders
def test_bfloat16(order: Adaptive) -> None:
    model = lively(system(order)).to(torch.bfloat16)
    assert model.generate(conditions(model, 2), seed=1).isfinite().all()


@over_orders
def test_likelihoods_are_those_of_any_order(order: Adaptive) -> None:
    """How it is drawn does not change what a picture costs."""
    model = lively(system(order))
    tokens = Tokens(random_tokens(model, 2), model.system.layout)
    here = model.log_prob(tokens, conditions(model, 2))
    model.system = model.network.system = replace(model.system, order=order.trained())
    assert torch.equal(here, model.log_prob(tokens, conditions(model, 2)))
