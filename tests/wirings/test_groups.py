"""PAR's sequence: single sites, learned slots, groups; who sees whom, drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nextset import UsageError
from nextset.layout import Continuous, Discrete, line
from nextset.orders import Plan
from nextset.slots import BLANK, NONE, PREFIX, visible
from nextset.wirings import Groups, Script

CPU = torch.device("cpu")


def test_whole_table() -> None:
    """[class, x1, x2, m, x3, x4] predict the six tokens, each of a group the same place of the next one."""
    table = Groups(2).whole((1, 1, 2, 2), prefix=1)
    assert table.holds.tolist() == [PREFIX, 0, 1, BLANK, 2, 3]
    assert table.at.tolist() == [NONE, 0, 1, NONE, 2, 3]
    assert table.predicts.tolist() == [0, 1, 2, 3, 4, 5]
    groups = [0, 1, 2, 2, 3, 3]
    assert visible(table, table).tolist() == [[b <= a for b in groups] for a in groups]


@pytest.mark.parametrize("seeds", [0, 3])
def test_any_number_of_single_sites_first(seeds: int) -> None:
    """Without any the learned slots stand beside the last condition slot."""
    sizes = (1,) * seeds + (3, 3)
    table = Groups(3).whole(sizes, prefix=2)
    assert (table.holds == BLANK).sum() == 2
    assert table.predicted.tolist() == list(range(seeds + 6))
    first = Groups(3).step(seeds, sizes, 2)
    assert first.holds.tolist() == ([2, BLANK, BLANK] if seeds else [PREFIX, PREFIX, BLANK, BLANK])


def test_learned_slots_are_filled_once() -> None:
    module, script = Groups(2).build(4, Discrete(5), line(6), None), Script(Groups(2), (1, 1, 2, 2), 1, CPU)
    tokens, prefix = torch.randint(5, (2, 6)), torch.randn(2, 1, 4)
    plan = Plan(torch.arange(6), (1, 1, 2, 2))
    whole = module.fill(script.whole, prefix, tokens, plan)
    embedded = module.embed(tokens)
    assert torch.equal(whole[:, 3], module.between.expand(2, -1))
    assert torch.equal(whole[:, [1, 2, 4, 5]], embedded[:, :4])
    stepwise = [module.fill(call, prefix, tokens, plan) for call in script.steps]
    assert torch.equal(torch.cat(stepwise, dim=1), whole)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 1), (1, 2, 3), (1, 3), (3, 3)])
def test_other_steps_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="size=2"):
        Groups(2).whole(sizes, 1)


def test_groups_of_one_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 2"):
        Groups(1).whole((1, 1), 1)


def test_what_else_is_refused() -> None:
    with pytest.raises(UsageError, match="condition slot"):
        Groups(2).whole((2, 2), 0)
    with pytest.raises(UsageError, match="one id a site"):
        Groups(2).build(8, Continuous(4), line(4), None)


def test_a_call_knows_its_ranks() -> None:
    calls = Script(Groups(2), (1, 1, 2, 2), 1, CPU).steps
    assert [np.arange(6)[call.ranks].tolist() for call in calls] == [[0], [1], [2, 3], [4, 5]]
