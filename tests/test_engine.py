"""The engine: what it draws of many requests is what each gets alone, who comes when, and that nobody disturbs the others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Engine, Model, Pick, System, UsageError
from nextset.backbones import Stacked
from nextset.conditions import Text
from nextset.decode import Inside, Interval, Linear
from nextset.mixers import EXACT, Keeping, Mamba2, Ragged
from nextset.mixers.keeping import Whole
from nextset.nn.masking import Cosine
from nextset.orders import Confidence, Falling, Order, Random, Raster, Regions
from nextset.partial import Partial
from tests.decode.test_loop import Watched
from tests.laws.requests import asked
from tests.laws.toys import BASE, lively, tiny

GUIDANCE = (1.0, 2.0, Interval(3.0, 1, 6), None, Linear(2.0, 1.0), 4.0)
PICKS = (None, Pick(0.7), Pick(top_k=2), Pick(0), Pick(1.3, top_p=0.8))
SITES = BASE.layout.sites
ORDERS: dict[str, tuple[Order, ...]] = {
    "llamagen": (),
    "aim": (),
    "rar": (),
    "randar": (Random(4), Random(7), Random()),
    "par": (Regions(1, 2),),
    "infinity": (),
    "arpg": (Random(5, Falling(Cosine())), Random(9), Raster()),
    "sets+readers+mamba": (Random(5), Raster()),
}


def requests(system: System, count: int, orders: tuple[Order, ...] = ()) -> list[dict[str, Any]]:
    """So many requests that differ in everything."""
    chosen, conditions = random.Random(0), asked(system.condition, count)
    rows = [
        tuple(part[i : i + 1] for part in conditions) if isinstance(conditions, tuple) else conditions[i : i + 1]
        for i in range(count)
    ]
    return [
        {
            "condition": rows[index],
            "seed": chosen.randrange(3),
            "first": index,
            "guidance": GUIDANCE[index % len(GUIDANCE)],
            "pick": PICKS[index % len(PICKS)],
            "order": chosen.choice([None, *orders]),
            "negative": 0 if index % 4 == 3 and "Label" in type(system.condition).__name__ else None,
        }
        for index in range(count)
    ]


def alone(model: Model, request: Mapping[str, Any]) -> Tensor:
    """The tokens (1, N, ...) that `Model.stream` draws of a request."""
    request = dict(request)
    order = request.pop("order", None)
    drawing = model if order is None else model.under(replace(model.system, order=order))
    *_, last = drawing.stream(count=1, **request)
    return last.decoding.tokens.data


def at_random(engine: Engine, asked: list[dict[str, Any]], seed: int = 0) -> Iterator[tuple[int, Partial]]:
    """Submits requests at random moments, and gives what comes."""
    chance, coming = random.Random(seed), list(asked)
    while coming or engine.live or engine.waiting:
        while coming and chance.random() < 0.3:
            engine.submit(**coming.pop(0))
        yield from engine.step()


@pytest.mark.parametrize("name", ORDERS)
def test_requests_get_what_they_get_alone(name: str) -> None:
    """Law 6 for strangers in one batch: classes, guidance, picks, seeds, orders, moments of arrival."""
    model = lively(tiny(name))
    engine = Engine(model, rows=5, orders=ORDERS[name])
    wanted = requests(model.system, 14, ORDERS[name])
    found = dict(at_random(engine, wanted))
    assert sorted(found) == list(range(14))
    for ticket, request in enumerate(wanted):
        partial = found[ticket]
        assert partial.step == partial.steps
        assert torch.equal(partial.decoding.tokens.data, alone(model, request)), request
    plain = {k: v for k, v in wanted[0].items() if k != "order"}
    drawn = dict(engine.run([plain]))
    assert torch.equal(drawn[14].images(), model.generate(count=1, **plain))


def test_captions_of_any_length_share_a_batch() -> None:
    """Padding of conditions is hidden for each row; the calls that take a caption in are not padded together with single slots."""
    system = replace(BASE, condition=Text(6, 40))
    model = lively(system)
    wanted = requests(system, 6)
    watched = pytest.MonkeyPatch()
    calls = Watched(model, watched).calls
    found = dict(at_random(Engine(model, rows=8), wanted, 1))
    watched.undo()
    assert {slots for rows, slots in calls if rows > 4} == {1}
    assert all(torch.equal(found[t].decoding.tokens.data, alone(model, r)) for t, r in enumerate(wanted))


def test_steps_are_counted_once_for_all() -> None:
    """All there at once: as many passes as the longest takes, and no work for those that are done."""
    model = lively(tiny("randar"))
    orders = (Random(4), Random(7), Random())
    engine = Engine(model, rows=3, orders=orders)
    for order in orders:
        engine.submit(0, guidance=1.0, order=order)
    rows = []
    for _ in range(SITES):
        engine.step()
        rows.append(engine.rows)
    lengths = [len(order.sizes(model.system.layout)) for order in orders]
    assert engine.steps == max(lengths)
    assert engine.sample_steps == sum(lengths)
    assert rows == [sum(length > done for length in lengths) for done in range(1, SITES + 1)]


def test_rows_are_never_padded_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network computes the rows in use, and both halves of a request only while it is guided."""
    model = lively(BASE)
    watched = Watched(model, monkeypatch)
    engine = Engine(model, rows=4)
    engine.submit(0, guidance=Interval(2.0, 0, 3))
    engine.submit(1, guidance=1.0)
    engine.submit(2, guidance=2.0)
    list(engine.run())
    assert watched.rows == [3] * 2 + [3] + [4] * (SITES - 3) + [2] * 3


def test_first_come_first_served() -> None:
    """Who comes at step t is one step further at t + 1; who finds no rows waits, and nobody overtakes."""
    model = lively(BASE)
    engine = Engine(model, rows=3)
    early = engine.submit(0, guidance=1.0)
    engine.step()
    late = engine.submit(1, guidance=2.0)
    assert [engine.partial(ticket).step for ticket in (early, late)] == [1, 0]
    engine.step()
    assert [engine.partial(ticket).step for ticket in (early, late)] == [2, 1]
    assert engine.partial(late).decoding.known.sum() == 1
    pair, single = engine.submit(1, guidance=2.0), engine.submit(0, guidance=1.0)
    order = []
    while engine.live or engine.waiting:
        order += [ticket for ticket, _ in engine.step()]
        assert engine.rows <= 3
        if early not in order:
            assert engine.waiting == 2
    assert order == [early, late, pair, single]
    assert (engine.live, engine.waiting, engine.rows) == (0, 0, 0)
    assert engine.step() == []


def test_requests_without_number() -> None:
    """They are taken as there is room: no more than one waits."""

    def forever() -> Iterator[dict[str, Any]]:
        while True:
            assert engine.waiting == 0
            yield {"condition": 0, "guidance": 1.0}

    engine = Engine(lively(BASE), rows=2)
    drawn = engine.run(forever())
    assert [next(drawn)[0] for _ in range(5)] == [0, 1, 2, 3, 4]


def test_a_cancelled_request_leaves_the_others_alone() -> None:
    model = lively(BASE)
    engine = Engine(model, rows=7)
    wanted = requests(BASE, 6)
    for request in wanted[:4]:
        engine.submit(**request)
    found: dict[int, Partial] = {}
    for _ in range(4):
        found |= engine.step()
    for request in wanted[4:]:
        engine.submit(**request)
    assert engine.waiting == 2
    assert engine.cancel(0)  # live
    assert engine.cancel(5)  # waiting
    assert not engine.cancel(0)
    assert not engine.cancel(17)
    with pytest.raises(UsageError, match="ticket 5"):
        engine.partial(5)
    found |= engine.run()
    assert sorted(found) == [1, 2, 3, 4]
    assert all(torch.equal(found[ticket].decoding.tokens.data, alone(model, wanted[ticket])) for ticket in found)
    assert not engine.cancel(1)


BAD = {
    "condition": {"condition": 9},
    "condition has 2": {"condition": [0, 1]},
    "negative": {"negative": "a dog"},
    "guidance": {"guidance": float("nan")},
    "pick": {"pick": 0.9},
    "seed": {"seed": "7"},
    "first": {"first": 1.5},
    "order": {"order": "raster"},
    "order Confidence": {"order": Confidence(2)},
    "the order takes": {"order": Regions(2, 2)},
    "inside the backbone": {"guidance": Inside(2.0)},
    "takes two": {"guidance": 2.0},
}


@pytest.mark.parametrize("word", BAD)
def test_a_bad_request_leaves_the_others_alone(word: str) -> None:
    """It is refused when it is submitted, by the name of the argument."""
    model = lively(BASE)
    engine = Engine(model, rows=1)
    good = {"condition": 1, "guidance": 1.0, "seed": 3}
    ticket = engine.submit(**good)
    engine.step()
    with pytest.raises(UsageError, match=word):
        engine.submit(**{**good, **BAD[word]})
    assert (engine.live, engine.waiting) == (1, 0)
    assert torch.equal(dict(engine.run())[ticket].decoding.tokens.data, alone(model, good))


@pytest.mark.parametrize("rows", [0, -1, 2.0, True, "all"])
def test_rows_are_a_number(rows: Any) -> None:
    with pytest.raises(UsageError, match="rows"):
        Engine(lively(BASE), rows)


@pytest.mark.parametrize(
    ("system", "word"),
    [
        (tiny("dnd-transformer"), "head Staged"),
        (tiny("xar"), "head Flow"),
        (replace(tiny("maskgit"), order=Confidence(2)), "order Confidence"),
        (replace(tiny("sets+readers+text"), backbone=tiny("sets+readers+mamba").backbone), "padding"),
        (replace(BASE, backbone=Stacked(BASE.backbone, replace(BASE.backbone, mixer=Mamba2(4, 8)))), "take turns"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_systems_that_cannot_share(system: System, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Engine(lively(system)).submit(None)


@dataclass(frozen=True)
class Halved(Keeping):
    """Another way to keep keys and values."""

    def build(self, shape: tuple[int, int, int, int], like: Tensor) -> Whole:
        """In half precision."""
        return EXACT.build(shape, like.half())


def test_another_keeping_is_refused() -> None:
    """Not silently exchanged for the exact one."""
    model = lively(BASE)
    model.network.keeping = Halved()
    with pytest.raises(UsageError, match="Halved"):
        Engine(model)


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16(autocast: bool) -> None:
    """Weights or computation in bfloat16: requests are drawn to the end."""
    model = lively(tiny("randar"))
    engine = Engine(model if autocast else model.to(torch.bfloat16), 4)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for request in requests(model.system, 4):
            engine.submit(**request)
        assert all(partial.images().isfinite().all() for _, partial in engine.run())


def test_an_order_needs_room() -> None:
    """Rows have room for the orders that were named, and no more."""
    model = lively(replace(tiny("randar"), order=Random(4)))
    longer = Engine(model, 2, orders=[Random()])
    longer.submit(0, guidance=1.0, order=Random())
    with pytest.raises(UsageError, match=r"orders=\["):
        Engine(model, 2).submit(0, guidance=1.0, order=Random())


def tensors(engine: Engine) -> list[Tensor]:
    """Everything that the cache of an engine holds."""
    states = engine._batch._states
    return [part for state in states for part in vars(state).values() if isinstance(part, Tensor)]


@pytest.mark.parametrize("system", [BASE, tiny("aim")], ids=["keys and values", "recurrence"])
def test_the_cache_stays_where_it_is(system: System) -> None:
    """However many come and go, and whatever is left in rows that they take: what is not finite is hidden by no mask."""
    model = lively(system)
    engine = Engine(model, rows=4)
    before = [(part.data_ptr(), part.shape) for part in tensors(engine)]
    wanted = requests(system, 12)
    found: dict[int, Partial] = {}
    for ticket, partial in at_random(engine, wanted):
        found[ticket] = partial
        with torch.inference_mode():
            for part in tensors(engine):
                part[engine.rows :] = torch.nan
    assert [(part.data_ptr(), part.shape) for part in tensors(engine)] == before
    assert all(torch.equal(found[t].decoding.tokens.data, alone(model, r)) for t, r in enumerate(wanted))


def test_a_row_that_moves_is_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One copy a freed row at most, and none where the last row leaves."""
    moves: list[tuple[int, int, int]] = []
    inner = Ragged.move

    def move(state: Ragged, source: int, target: int, kept: int) -> None:
        moves.append((source, target, kept))
        inner(state, source, target, kept)

    monkeypatch.setattr(Ragged, "move", move)
    engine = Engine(lively(BASE), rows=3)
    for _ in range(3):
        engine.submit(0, guidance=1.0)
        engine.step()
    assert engine.cancel(2)
    assert moves == []
    assert engine.cancel(0)
    assert moves == [(1, 0, 2)] * len(engine._batch._states)
