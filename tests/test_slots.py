"""The rule of who sees whom, and its cheapest form."""

from __future__ import annotations

import numpy as np
import torch

from nextset.slots import BLANK, NEVER, NONE, PREFIX, Mask, SlotTable, visible


def causal(length: int) -> SlotTable:
    step = np.arange(length)
    return SlotTable.of(step, step, step, avail=step, sees=step)


def dense(mask: Mask) -> list[list[int]]:
    assert mask.dense is not None
    return mask.dense.int().tolist()


def test_visible_is_the_rule_slot_by_slot() -> None:
    """`avail[k] <= sees[q] <= until[k] or group[k] == group[q]`, where no group is none."""
    generator = np.random.default_rng(0)
    columns = generator.integers(0, 4, (5, 7))
    table = SlotTable.of(*columns, group=generator.integers(NONE, 2, 7), until=generator.integers(0, 5, 7))
    mask = visible(table, table)
    for q in range(7):
        for k in range(7):
            grouped = table.group[k] == table.group[q] != NONE
            assert mask[q, k] == (table.avail[k] <= table.sees[q] <= table.until[k] or grouped)


def test_masks_take_their_cheapest_form() -> None:
    table = causal(4)
    whole, last = Mask.between(table, table), Mask.between(table.take(slice(3, 4)), table)
    assert (whole.causal, whole.dense) == (True, None)
    assert (last.causal, last.dense) == (False, None)
    assert dense(Mask.between(table.take(slice(2, 4)), table)) == [[1, 1, 1, 0], [1, 1, 1, 1]]
    full = SlotTable.of([0, 1], [0, 1], [0, 1], avail=[0, 0], sees=[0, 0])
    both = Mask.between(full, full)
    assert (both.causal, both.dense) == (False, None)


def test_pure_queries_are_seen_by_nobody() -> None:
    table = SlotTable.of([0, BLANK], [0, 1], [NONE, 1], avail=[0, NEVER], sees=[0, 5])
    assert visible(table, table).tolist() == [[True, False], [True, False]]


def test_groups_see_each_other_whatever_the_steps() -> None:
    table = SlotTable.of([0, 1, 2], [0, 1, 2], [0, 1, 2], avail=[9, 9, 9], sees=[0, 0, 0], group=[1, 1, NONE])
    assert visible(table, table).astype(int).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_tables_are_cut_and_joined() -> None:
    table = causal(4)
    front, back = table.take(slice(0, 1)), table.take(np.array([1, 2, 3]))
    joined = front.join(back)
    assert len(joined) == 4
    assert np.array_equal(visible(joined, joined), visible(table, table))


def test_predictors_come_by_rank() -> None:
    table = SlotTable.of([PREFIX, 0, 1, 2], [NONE, 0, 1, 2], [2, NONE, 0, 1], avail=[0] * 4, sees=[0] * 4)
    assert table.predictors().tolist() == [2, 3, 0]


def test_padding_sees_only_itself() -> None:
    """Keys that are padding disappear, but each sees itself; other rows are what they were on the other keys."""
    valid = torch.tensor([[False, True, True], [True, True, True]])
    padded = Mask(causal=True).padded(valid, 3, 3)
    assert dense(padded) == [[[[1, 0, 0], [0, 1, 0], [0, 1, 1]]], [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]]
    last = Mask().padded(valid, 1, 3)
    assert dense(last) == [[[[0, 1, 1]]], [[[1, 1, 1]]]]


def test_padding_shows_no_query_to_itself() -> None:
    """Only padding gets to see itself: what a dense mask hides of valid slots stays hidden."""
    mask = Mask(dense=torch.tensor([[True, False], [True, False]]))
    assert dense(mask.padded(torch.tensor([[True, True]]), 2, 2)) == [[[[1, 0], [1, 0]]]]
