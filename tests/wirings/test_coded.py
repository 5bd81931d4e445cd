"""Slots of the tokenizer's own vectors."""

from __future__ import annotations

import torch

from nextset.layout import Discrete, line
from nextset.orders import Plan
from nextset.wirings import Coded, Script
from tests.laws.parts import CODEC


def test_a_slot_is_its_position_and_its_mapped_codes() -> None:
    """Each code is mapped before the sum, so the bias counts once a code; positions are by site."""
    module = Coded(std=0.5).build(8, Discrete(3, codes=2), line(3), CODEC)
    torch.nn.init.normal_(module.project.bias)
    tokens, start = torch.tensor([[[0, 2], [1, 1], [2, 0]]]), torch.zeros(1, 1, 8)
    plan, call = Plan(torch.tensor([2, 0, 1]), (1, 1, 1)), Script(Coded(), (1, 1, 1), 1, torch.device("cpu")).whole
    filled = module.fill(call, start, tokens, plan)
    expected = [module.project(CODEC.embed(tokens[0, site])).sum(0) + module.position[site] for site in (2, 0)]
    torch.testing.assert_close(filled[0, 1:], torch.stack(expected))
    assert torch.equal(filled[:, :1], start)


def test_vectors_stay_the_tokenizers() -> None:
    """The wiring reads the code vectors and owns none of them."""
    module = Coded().build(8, Discrete(3, codes=2), line(3), CODEC)
    assert {name for name, _ in module.named_parameters()} == {"project.weight", "project.bias", "position"}
