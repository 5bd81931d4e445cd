"""What is decided once about a sequence: tables, masks, cache positions, which slots predict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from nextset import catalogue
from nextset.layout import Tokens
from nextset.orders import Plan, Random
from nextset.slots import Mask, SlotTable
from nextset.wirings import Instructions, Queries, Script, Shift
from nextset.wirings.base import Call, script
from tests.laws.toys import lively, random_tokens

CPU = torch.device("cpu")


def test_one_token_a_step_needs_no_mask() -> None:
    """The whole is plain causal; a step sees all that is kept."""
    plain = Script(Shift(), (1,) * 4, 1, CPU)
    assert plain.whole.mask.causal
    assert all(call.mask.dense is None and not call.mask.causal for call in plain.steps)
    assert [call.keep for call in plain.steps] == [1, 1, 1, 1]
    assert plain.length == 4


def test_passing_queries_need_room_for_one_step_only() -> None:
    """Queries are not kept: a cache holds what stays, and the queries of the step that needs most."""
    sets = Script(Queries(), (1, 2, 3), 2, CPU)
    assert [len(call.table) for call in sets.steps] == [3, 3, 5]  # 2 + 1, 1 + 2, 2 + 3
    assert [call.keep for call in sets.steps] == [2, 1, 2]
    assert sets.length == 2 + 1 + 2 + 3


def test_predictors_are_slices_where_they_can_be() -> None:
    """No copy and no gather for runs; ranks say which numbers a step draws."""
    for call, ranks in zip(Script(Queries(), (1, 2, 3), 2, CPU).steps, ((0, 1), (1, 3), (3, 6)), strict=True):
        assert call.ranks == slice(*ranks)
        assert isinstance(call.predictors, slice)


def test_scattered_predictors_are_indices() -> None:
    """In the order of what they predict, so that ranks stay a run."""
    zeros = np.zeros(3)
    table = SlotTable.of(zeros, zeros, [2, 1, 0], avail=zeros, sees=zeros)
    call = Call(table, Mask(), 3, CPU)
    assert isinstance(call.predictors, torch.Tensor)
    assert call.predictors.tolist() == [2, 1, 0]
    assert call.ranks == slice(0, 3)


def test_sites_follow_the_plan() -> None:
    call = script(Shift(), (1,) * 3, 2, CPU).whole
    assert call.sites(Plan(torch.tensor([2, 0, 1]), (1,) * 3)).tolist() == [-1, -1, 2, 0]
    own = Plan(torch.tensor([[2, 0, 1], [1, 2, 0]]), (1,) * 3)
    assert call.sites(own).tolist() == [[-1, -1, 2, 0], [-1, -1, 1, 2]]


def test_scripts_are_made_once() -> None:
    assert script(Shift(), (1,) * 5, 1, CPU) is script(Shift(), (1,) * 5, 1, CPU)


def test_what_is_first_drawn_trains_later() -> None:
    """Scripts are kept: their tensors are made for training even where inference needs them first."""
    script.cache_clear()
    model = lively(replace(catalogue.spec("llamagen/tiny"), order=Random(), wiring=Instructions(2)))
    tokens = Tokens(random_tokens(model, 2), model.system.layout)
    model.log_prob(tokens, [0, 1])
    model.loss(tokens, [0, 1])["loss"].backward()
    assert model.network.wiring.ask.grad is not None
