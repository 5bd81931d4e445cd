"""The GPT way: a slot holds a token, sits at its site, and predicts the next one."""

from __future__ import annotations

import pytest
import torch

from nextset import UsageError
from nextset.layout import Continuous, Discrete, grid, line
from nextset.orders import Plan
from nextset.slots import NONE, PREFIX
from nextset.wirings import Script, Shift


def test_whole_table() -> None:
    table = Shift().whole((1, 1, 1), prefix=2)
    assert table.holds.tolist() == [PREFIX, PREFIX, 0, 1]
    assert table.at.tolist() == [NONE, NONE, 0, 1]
    assert table.predicts.tolist() == [NONE, 0, 1, 2]


def test_steps() -> None:
    """First all condition slots, then one token each."""
    assert Shift().step(0, (1, 1, 1), 2).holds.tolist() == [PREFIX, PREFIX]
    assert Shift().step(2, (1, 1, 1), 2).holds.tolist() == [1]


def test_sets_are_refused() -> None:
    with pytest.raises(UsageError, match="Shift predicts one site a step, but the order takes 3"):
        Shift().whole((1, 3), 1)


def test_latents_are_refused() -> None:
    with pytest.raises(UsageError, match="Shift embeds ids"):
        Shift().build(8, Continuous(4), grid(2, 2), None)


def test_tokens_of_several_codes_are_the_sum_of_a_table_each() -> None:
    module = Shift().build(8, Discrete(3, codes=2), line(3), None)
    tokens = torch.tensor([[[0, 2], [1, 1], [2, 0]]])
    plan, call = Plan(torch.tensor([2, 0, 1]), (1, 1, 1)), Script(Shift(), (1, 1, 1), 1, torch.device("cpu")).whole
    start = torch.zeros(1, 1, 8)
    filled = module.fill(call, start, tokens, plan)
    tables = module.embed.weight.unflatten(0, (2, 3))
    expected = [tables[0, 2] + tables[1, 0], tables[0, 0] + tables[1, 2]]  # the tokens of sites 2 and 0
    assert torch.allclose(filled[0, 1:], torch.stack(expected))
    assert torch.equal(filled[:, :1], start)


def test_initial_scale() -> None:
    weight = Shift(std=0.5).build(64, Discrete(100), line(3), None).embed.weight
    assert abs(weight.std() - 0.5) < 0.02
