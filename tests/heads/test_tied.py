"""A head that shares the table of tokens: one matrix, saved once, taught by both uses."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

import nextset
from nextset import Model, Tokens, UsageError
from nextset.heads import Tied
from nextset.tokenizers.vq import VQ
from tests.laws.toys import conditions, lively, random_tokens

BASE = replace(nextset.spec("llamagen/tiny"), head=Tied())


def test_the_matrix_is_the_table(tmp_path) -> None:
    """In no other entry of the state, in the file, in what is counted, and after loading and copying."""
    model = lively(BASE)
    assert not [key for key in model.network.state_dict() if key.startswith("head")]
    tokens, condition = Tokens(random_tokens(model, 2), BASE.layout), conditions(model, 2)
    before = model.log_prob(tokens, condition)
    for same in (Model.from_pretrained(model.save_pretrained(tmp_path / "m")), copy.deepcopy(model)):
        assert torch.equal(same.log_prob(tokens, condition), before)
        with torch.no_grad():
            same.network.wiring.embed.weight.mul_(2.0)
        hidden = torch.ones(1, 1, 16)
        torch.testing.assert_close(same.network.head.logits(hidden)[0, 0], same.network.wiring.embed.weight.sum(1))
    assert torch.equal(model.log_prob(tokens, condition), before)


def test_its_gradient_is_that_of_both_uses() -> None:
    """As for an untied copy of the matrix: the two gradients, summed."""
    tied, untied = lively(BASE).double(), lively(replace(BASE, head=nextset.spec("llamagen/tiny").head)).double()
    state = tied.network.state_dict()
    untied.network.load_state_dict(state | {"head.project.weight": state["wiring.embed.weight"].clone()})
    tokens = Tokens(random_tokens(tied, 3), BASE.layout)
    for model in (tied, untied):
        model.loss(tokens, conditions(model, 3))["loss"].backward()
    parts = untied.network.wiring.embed.weight.grad + untied.network.head.project.weight.grad
    torch.testing.assert_close(tied.network.wiring.embed.weight.grad, parts, rtol=1e-10, atol=1e-13)


def test_what_cannot_be_shared_is_refused() -> None:
    from nextset.layout import Discrete
    from nextset.wirings.shift import ShiftModule

    head = Tied().build(16, Discrete(5), VQ(8, 4, 8, (1, 2), blocks=1, latent=8, groups=4).build())
    with pytest.raises(UsageError, match="table of single ids"):
        head.tie(ShiftModule(16, Discrete(5, codes=2), 0.02).table)
    with pytest.raises(UsageError, match=r"\(5, 16\).*\(6, 16\)"):
        head.tie(ShiftModule(16, Discrete(6), 0.02).table)
    with pytest.raises(UsageError, match="head Tied needs one id a site"):
        Tied().build(16, Discrete(5, codes=2), VQ(8, 4).build())
