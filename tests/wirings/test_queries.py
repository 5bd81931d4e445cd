"""Queries over a memory: independent of each other, read from a small cache, in two forms of memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import nextset
from nextset import UsageError
from nextset.backbones import TwoPass
from nextset.conditions import Label
from nextset.mixers import Attention
from nextset.orders import Plan
from nextset.slots import BLANK, visible
from nextset.wirings import Causal, Memory, Mutual, Queries, Script
from tests.laws.toys import lively, random_tokens

CPU = torch.device("cpu")
TINY = nextset.spec("arpg/tiny")


def seen_by_memory(memory: Memory, sizes: tuple[int, ...]) -> list[list[int]]:
    """Which ranks each remembered rank sees."""
    table = Queries(memory).whole(sizes, 1)
    held = table.take(table.holds >= 0)
    return [held.holds[row].tolist() for row in visible(held, held)]


def test_both_forms_of_memory() -> None:
    assert seen_by_memory(Causal(), (1, 2, 2)) == [[0], [0, 1], [0, 1, 2]]
    assert seen_by_memory(Mutual(), (1, 2, 2)) == [[0], [0, 1, 2], [0, 1, 2]]
    assert seen_by_memory(Causal(), (1,) * 4) == seen_by_memory(Mutual(), (1,) * 4)


def test_one_site_a_step_keeps_the_fast_path() -> None:
    """Both halves are plain causal in training, and see all in a step."""
    script = Script(Queries(), (1,) * 5, 1, CPU)
    assert script.whole.parts is not None
    assert [part.causal for part in script.whole.parts] == [True, True]
    for call in script.steps:
        assert call.parts is not None
        assert all(part.dense is None and not part.causal for part in call.parts)


def test_the_cache_has_no_room_for_queries() -> None:
    script = Script(Queries(), (1, 2, 3), 1, CPU)
    assert (script.room(passing=False), script.room(passing=True)) == (1 + 3, 1 + 3 + 3)


@pytest.mark.parametrize("memory", [Causal(), Mutual()], ids=str)
def test_queries_are_independent(memory: Memory) -> None:
    """The last site finds the same asked alone as with all others, to the bit of float64's noise."""
    model = lively(replace(TINY, wiring=Queries(memory)), double=True)
    perm, tokens = torch.randperm(16, generator=torch.Generator().manual_seed(0)), random_tokens(model, 3)
    moved = torch.cat([perm[:4], perm[-1:], perm[4:-1]])
    conditioning = model.network.condition(torch.arange(3))
    alone = model.network.hidden(tokens, conditioning, Plan(moved, (1, 3, 1, 11)))[:, 4]
    together = model.network.hidden(tokens, conditioning, Plan(perm, (1, 3, 12)))[:, -1]
    torch.testing.assert_close(alone, together, rtol=1e-12, atol=1e-13)


def test_a_causal_memory_does_not_depend_on_steps_and_a_mutual_one_does() -> None:
    """What the last step finds after (1, 3) and after (1, 1, 1, 1)."""
    perm, found = torch.arange(16), {}
    for memory in (Causal(), Mutual()):
        model = lively(replace(TINY, wiring=Queries(memory)), double=True)
        tokens, conditioning = random_tokens(model, 1), model.network.condition(torch.arange(1))
        plans = Plan(perm, (1, 3, 12)), Plan(perm, (1, 1, 1, 1, 12))
        found[memory] = [model.network.hidden(tokens, conditioning, plan)[:, 4:] for plan in plans]
    torch.testing.assert_close(*found[Causal()], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(found[Causal()][1], found[Mutual()][1], rtol=1e-12, atol=1e-13)
    assert (found[Mutual()][0] - found[Mutual()][1]).abs().max() > 1e-3


def test_two_steps_of_one_call_are_asked_again_without_a_memory_of_their_own() -> None:
    """A head may ask a step twice: the second call holds queries only, and finds the same."""
    script = Script(Queries(), (1, 2, 3), 1, CPU)
    again = script.again[2]
    assert (again.table.holds == BLANK).all()
    assert again.parts is not None
    model = lively(TINY)
    backbone, like = model.network.backbone, torch.zeros(1, 1, 16)
    plan, tokens = Plan(torch.arange(6), (1, 2, 3)), random_tokens(model, 1)
    prefix = model.network.condition(torch.arange(1)).prefix
    cache = backbone.cache(1, script.room(backbone.passing), like)
    with torch.no_grad():
        for call in script.steps:
            first = call.predicted(
                backbone(call.slots(model.network.wiring.fill(call, prefix, tokens, plan), plan), cache)
            )
        x = model.network.wiring.fill(again, prefix, tokens, plan)
        second = again.predicted(backbone(again.slots(x, plan), cache))
    torch.testing.assert_close(first, second)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="Queries .*condition has none"):
        replace(TINY, condition=Label(3, slots=0, vector=True)).network()
    with pytest.raises(UsageError, match="depth must be even"):
        TwoPass(16, 3, Attention(2), 2)
    with pytest.raises(UsageError, match="Shift.*TwoPass.*Queries"):
        replace(nextset.spec("llamagen/tiny"), backbone=TINY.backbone).network()
