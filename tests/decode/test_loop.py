"""The engine: how many rows run when, what is written where, and what is given stays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from nextset import Model, Pick
from nextset.conditions import Text
from nextset.decode import Constant, Guidance, Interval, Linear, decode
from nextset.decode.loop import Clamp
from nextset.layout import Tokens
from nextset.mixers import Keeping
from nextset.noise import Noise
from nextset.orders import Random
from nextset.wirings import Queries
from tests.laws.own import Growing
from tests.laws.toys import BASE, conditions, lively, random_tokens

SITES = BASE.layout.sites


@dataclass(frozen=True)
class GoesOn(Guidance):
    """Guided by 3 for six sites, and then by next to nothing, but never by exactly nothing."""

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """Never 1."""
        return 3.0 if done < 6 else 1 + 1e-12


class Watched:
    """Notes the size of every call of a backbone."""

    def __init__(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[int, int]] = []
        inner = model.network.backbone.forward

        def forward(slots: Any, cache: Any = None) -> torch.Tensor:
            self.calls.append((slots.x.shape[0], slots.x.shape[1]))
            return inner(slots, cache)

        monkeypatch.setattr(model.network.backbone, "forward", forward)

    @property
    def rows(self) -> list[int]:
        """The batch of every call."""
        return [batch for batch, _ in self.calls]


@pytest.mark.parametrize(
    ("guidance", "rows"),
    [
        (Constant(1.0), [2] * SITES),
        (Constant(2.0), [4] * SITES),
        (Interval(2.0, 0, 5), [4] * 5 + [2] * (SITES - 5)),
        (Interval(2.0, 3, 5), [4] * 5 + [2] * (SITES - 5)),
        (Linear(2.0), [4] * SITES),
        (Linear(1.0, 2.0), [4] * (SITES - 1) + [2]),
    ],
    ids=str,
)
def test_the_unguided_half_runs_while_it_is_needed(
    guidance: Guidance, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both halves in one pass; once no later step is guided, the second one is dropped."""
    model = lively(BASE)
    watched = Watched(model, monkeypatch)
    model.generate(conditions(model, 2), guidance=guidance)
    assert watched.rows == rows


def test_every_slot_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(BASE)
    watched = Watched(model, monkeypatch)
    model.generate(conditions(model, 2), guidance=1.0)
    assert [slots for _, slots in watched.calls] == [1] * SITES
    sets = lively(replace(BASE, order=Growing(), wiring=Queries()))
    watched = Watched(sets, monkeypatch)
    sets.generate(conditions(sets, 2), guidance=1.0)
    assert [slots for _, slots in watched.calls] == [2, 3, 5, 7, 9, 6]  # those just drawn, and the next step's


@pytest.mark.parametrize("condition", [BASE.condition, Text(6, 4)], ids=str)
@pytest.mark.parametrize("order", [BASE.order, Random()], ids=str)
def test_dropping_the_half_changes_nothing(order: Any, condition: Any) -> None:
    """A schedule that stops draws what one that goes on at a scale next to 1 draws, padding and own orders included."""
    model = lively(replace(BASE, order=order, condition=condition))

    asked = conditions(model, 3)
    stops = model.generate(asked, guidance=Interval(3.0, 0, 6), seed=3)
    goes = model.generate(asked, guidance=GoesOn(), seed=3)
    assert torch.equal(stops, goes)


@pytest.mark.parametrize("order", [BASE.order, Random()], ids=str)
def test_what_is_known_grows_along_the_plan(order: Any) -> None:
    """After step k exactly the sites of the first steps are known, in each sample's own order."""
    model = lively(replace(BASE, order=order))
    plan = order.plan(BASE.layout, Noise(4, range(2)))
    for partial in model.stream(conditions(model, 2), seed=4):
        known = partial.decoding.known.expand(2, -1)
        for sample, perm in enumerate(plan.perm.expand(2, -1)):
            assert set(known[sample].nonzero().flatten().tolist()) == set(perm[: partial.step].tolist())


@pytest.mark.parametrize("order", [BASE.order, Random()], ids=str)
def test_given_sites_keep_their_tokens(order: Any) -> None:
    """And the others are drawn as ever: with all numbers fixed, those before the first given one do not change."""
    model = lively(replace(BASE, order=order))
    given, asked = random_tokens(model, 2), conditions(model, 2)
    network, numbers = model.network, torch.rand(2, SITES)
    plan = network.plan(0, 2, torch.device("cpu"))
    known = torch.zeros(2, SITES, dtype=torch.bool)
    known.scatter_(1, plan.perm.expand(2, -1)[:, 5:8], True)

    def run(clamp: Clamp | None) -> torch.Tensor:
        start = Tokens(torch.zeros_like(given), BASE.layout)
        with torch.inference_mode():
            asking = network.condition(asked), None
        for _ in decode(network, plan, start, asking, Constant(1.0), Pick(), numbers, clamp):
            pass
        return start.data

    clamped, free = run(Clamp(known, given)), run(None)
    assert torch.equal(clamped[known], given[known])
    assert torch.equal(plan.to_ranks(clamped)[:, :5], plan.to_ranks(free)[:, :5])
    assert not torch.equal(plan.to_ranks(clamped)[:, 8:], plan.to_ranks(free)[:, 8:])


def test_the_cache_is_allocated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all slots of both halves; nothing grows while decoding."""
    model = lively(BASE)
    made: list[tuple[int, int]] = []
    inner = model.network.backbone.cache

    def cache(batch: int, slots: int, like: torch.Tensor, keeping: Keeping) -> Any:
        made.append((batch, slots))
        return inner(batch, slots, like, keeping)

    monkeypatch.setattr(model.network.backbone, "cache", cache)
    model.generate(conditions(model, 3), guidance=2.0)
    assert made == [(6, SITES)]
