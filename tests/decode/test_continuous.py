"""Calls that samples share: who goes together, what is padded, and that padding changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from nextset import Engine, Model
from nextset.decode.fuse import SPARE, Row, fuse, groups
from nextset.mixers import Places, Ragged
from nextset.orders import Cells, Random
from nextset.slots import Mask, Slots
from tests.laws.toys import BASE, lively, tiny

from .test_loop import Watched


def row(length: int, seen: int = 0, queries: int = 0, keep: int = 0, call: Any = None) -> Row:
    """Slots 1, 2, ... of width 1, the last `queries` of which are blank and see only what has a value."""
    x = torch.arange(1.0, length + 1)[None, :, None]
    parts = (Mask(), Mask()) if queries else None
    blank = slice(length - queries, length)
    slots = Slots(
        x, torch.arange(length), Mask(), keep, None, torch.arange(length), slice(0, length), blank, parts=parts
    )
    return Row(call, slots, 0, seen)


def cut(rows: list[Row], aligned: bool = False, recurrent: bool = False) -> list[int]:
    """How many rows each call has."""
    return [part.stop - part.start for part in groups(rows, aligned, recurrent)]


def test_rows_are_padded_where_that_costs_little() -> None:
    """Up to half as many slots again, or SPARE of them, which cost less than a call more."""
    assert cut([row(1)] * 16) == [16]
    assert cut([row(1), row(8)] * 8) == [16]
    assert cut([row(1)] * 3 + [row(SPARE)]) == [3, 1]
    assert cut([row(200), row(300)]) == [2]
    assert cut([row(90), row(300)]) == [1, 1]
    assert cut([]) == []


def test_queries_are_padded_by_themselves() -> None:
    """And never together with slots of another kind."""
    assert cut([row(4, queries=3), row(4, queries=1)]) == [2]
    assert cut([row(4, queries=3), row(4)]) == [1, 1]


def test_a_recurrence_is_never_padded() -> None:
    """Slots that it would remember are as many in every row."""
    assert cut([row(1, keep=1)] * 3 + [row(2, keep=2)], recurrent=True) == [3, 1]
    assert cut([row(2, keep=1), row(2, keep=2)], recurrent=True) == [1, 1]
    assert cut([row(3, queries=1, keep=2), row(5, queries=3, keep=2)], recurrent=True) == [2]


def test_aligned_rows_share_a_call_that_is_one() -> None:
    first, second = object(), object()
    rows = [row(4, call=first), row(4, call=first), row(4, call=second)]
    assert cut(rows, aligned=True) == [2, 1]


def test_padding_is_in_nobodys_way() -> None:
    """It goes to the spare place, nobody sees it, and what it gives is thrown away."""
    rows = [row(3, seen=2, queries=1), row(3, seen=4, queries=2)]
    fused = fuse(rows, 99, recurrent=False)
    assert fused.slots.x[..., 0].tolist() == [[1, 2, 3, 0], [1, 0, 2, 3]]
    assert fused.slots.site.tolist() == [[0, 1, 2, -1], [0, -1, 1, 2]]
    assert fused.at.tolist() == [[2, 3, 4, 99], [4, 99, 5, 6]]
    assert (fused.slots.filled, fused.slots.blank) == (slice(0, 2), slice(2, 4))
    values, queries = fused.slots.parts or (Mask(), Mask())
    assert queries.dense is not None
    assert queries.dense[:, 0, 0].int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert values.dense is not None
    assert values.dense.shape == (2, 1, 2, 5)
    found = [own[:, 0].tolist() for own in fused.hidden(fused.slots.x)]
    assert found == [[1, 2, 3], [1, 2, 3]]


def test_rows_fill_up_by_themselves() -> None:
    """Each from its own place on; what lies beyond the longest is not shown. A row that is moved leaves nothing of the one before it."""
    places = Places()
    state = Ragged(torch.zeros(3, 1, 6, 1), torch.zeros(3, 1, 6, 1), places)
    places.set(torch.tensor([[1, 2], [3, 5]]))
    k = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[:, None, :, None]
    mask = Mask(dense=torch.ones(2, 1, 2, 4, dtype=torch.bool))
    keys, values, _ = state.rows(1, 3).extend(k, -k, 0, mask)
    assert keys[:, 0, :, 0].tolist() == [[0, 1, 2, 0], [0, 0, 0, 3]]
    assert torch.equal(values, -keys)
    state.k[0] = torch.nan
    state.move(2, 0, 4)
    assert state.k[:, 0, :, 0].tolist() == [[0, 0, 0, 3, 0, 0], [0, 1, 2, 0, 0, 0], [0, 0, 0, 3, 0, 4]]
    state.clear(2)
    assert not state.k[2].any()


@pytest.mark.parametrize("name", ["randar", "arpg"])
def test_steps_of_any_sizes_are_one_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are read once a step, however many sites each sample draws."""
    model = lively(tiny(name))
    watched = Watched(model, monkeypatch)
    orders = [Random(3), Random(8), Random()]
    engine = Engine(model, 3, orders)
    for order in orders:
        engine.submit(0, guidance=1.0, order=order)
    list(engine.run())
    assert len(watched.calls) == engine.steps == model.system.layout.sites


def test_vectors_are_drawn_by_their_own_guidance_and_temperature() -> None:
    """Heads of vectors guide on their way: samples of one scale go together, the others do not, and each gets its own."""
    model: Model = lively(replace(tiny("mar"), order=Cells(1, 1)))
    engine = Engine(model, 8)
    asked = [{"condition": i % 3, "seed": i, "guidance": scale} for i, scale in enumerate((2.0, 1.0, 3.0, 2.0))]
    tickets = [engine.submit(**request) for request in asked]
    found = dict(engine.run())
    for ticket, request in zip(tickets, asked, strict=True):
        expected = model.generate(**request)
        assert torch.allclose(found[ticket].images(), expected, rtol=0, atol=1e-4)  # products are cut in other ways


def test_the_toy_has_more_than_one_layer() -> None:
    """Rows are shared by all of them."""
    assert len(Engine(lively(BASE), 2)._batch._states) > 1
