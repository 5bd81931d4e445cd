"""Every wiring, as tables of slots (who holds, predicts and sees what) and as the module that fills them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from nextset.heads import Noisy
from nextset.layout import Discrete, Unit, grid, line, pyramid
from nextset.orders import Plan
from nextset.slots import BLANK, COLUMNS, NONE, PREFIX, Mask, SlotTable, visible
from nextset.wirings import Call, Memory, Upsampled, Wiring

from .parts import CODEC, STEPS, UNITS, accepts, toys

Row = tuple[int, ...]
CASES = [
    (wiring, sizes, prefix)
    for wiring, sizes, prefix in itertools.product(toys(Wiring), STEPS, (1, 3))
    if accepts(wiring.whole, sizes, prefix)
]
over_tables = pytest.mark.parametrize(("wiring", "sizes", "prefix"), CASES, ids=str)


def rows(table: SlotTable) -> list[Row]:
    """The integers of every slot."""
    return list(zip(*(getattr(table, column).tolist() for column in COLUMNS), strict=True))


def seen(queries: SlotTable, keys: SlotTable) -> list[tuple[Row, list[Row]]]:
    """Every query beside all that it sees, without regard to places."""
    names = rows(keys)
    mask = visible(queries, keys)
    return sorted((row, sorted(names[i] for i in np.flatnonzero(mask[q]))) for q, row in enumerate(rows(queries)))


def steps(wiring: Wiring, sizes: tuple[int, ...], prefix: int) -> list[SlotTable]:
    return [wiring.step(index, sizes, prefix) for index in range(len(sizes))]


def _carried(wiring: Wiring, held: np.ndarray, starts: np.ndarray) -> set[int]:
    """The ranks whose values slots carry: those that they hold, or the whole steps that are known by their last rank."""
    if not isinstance(wiring, Upsampled):
        return set(held)
    steps = np.searchsorted(starts, held, side="right") - 1
    assert (held == starts[steps + 1] - 1).all()
    return {rank for step in steps for rank in range(starts[step], starts[step + 1])}


@pytest.mark.parametrize("wiring", toys(Wiring), ids=str)
def test_takes_some_steps(wiring: Wiring) -> None:
    assert any(case[0] is wiring for case in CASES)


@over_tables
def test_every_rank_is_predicted_once(wiring: Wiring, sizes: tuple[int, ...], prefix: int) -> None:
    """By the whole sequence, and each by its own step."""
    whole = wiring.whole(sizes, prefix)
    assert whole.predicted.tolist() == list(range(sum(sizes)))
    start = 0
    for table, size in zip(steps(wiring, sizes, prefix), sizes, strict=True):
        assert table.predicted.tolist() == list(range(start, start + size))
        start += size


@over_tables
def test_whole_and_steps_agree(wiring: Wiring, sizes: tuple[int, ...], prefix: int) -> None:
    """Law 3 on the tables: the slots of all steps are those of the whole, and each sees the same slots."""
    whole = wiring.whole(sizes, prefix)
    stepwise, kept = [], None
    for table in steps(wiring, sizes, prefix):
        keys = table if kept is None else kept.join(table)
        stepwise += seen(table, keys)
        kept = keys.take(keys.lasting)
    assert sorted(stepwise) == seen(whole, whole)


@over_tables
def test_causality(wiring: Wiring, sizes: tuple[int, ...], prefix: int) -> None:
    """Law 2 on the table: what predicts a rank reaches, directly or through others, all earlier steps and nothing later."""
    table = wiring.whole(sizes, prefix)
    reach = visible(table, table) | np.eye(len(table), dtype=bool)
    for _ in range(len(table).bit_length()):
        reach = reach @ reach
    starts = np.cumsum((0, *sizes))
    readouts = [(slot, ranks[slot]) for ranks in (table.predicts, table.also) for slot in np.flatnonzero(ranks != NONE)]
    assert {rank for _, rank in readouts} == set(range(sum(sizes)))
    for slot, rank in readouts:
        step = np.searchsorted(starts, rank, side="right") - 1
        held = table.holds[reach[slot]]
        assert _carried(wiring, held[held >= 0], starts) == set(range(starts[step]))
        assert (held == PREFIX).sum() == prefix


@over_tables
def test_slots_are_well_formed(wiring: Wiring, sizes: tuple[int, ...], prefix: int) -> None:
    """Every condition slot is there, ranks exist, nobody's softmax is empty, and what is kept comes first in a step."""
    table = wiring.whole(sizes, prefix)
    assert (table.holds == PREFIX).sum() == prefix * (len(sizes) if wiring.afresh else 1)
    assert max(table.holds.max(), table.at.max(), table.predicts.max(), table.also.max()) < sum(sizes)
    assert min(table.at.min(), table.predicts.min(), table.also.min()) >= NONE
    assert visible(table, table).any(1).all()
    for part in steps(wiring, sizes, prefix):
        keep = int(part.lasting.sum())
        assert part.lasting[:keep].all()


def called(table: SlotTable) -> Call:
    """A call of these slots; who sees whom does not matter to their contents."""
    return Call(table, Mask(), 0, torch.device("cpu"))


def random_tokens(unit: Unit, batch: int, sites: int) -> torch.Tensor:
    """Ids (B, N) or (B, N, Q), or vectors (B, N, C)."""
    if not isinstance(unit, Discrete):
        return torch.randn(batch, sites, unit.dim)
    return torch.randint(unit.vocab, (batch, sites) if unit.codes == 1 else (batch, sites, unit.codes))


def noisy(table: SlotTable, noise: torch.Tensor) -> Noisy | None:
    """What blank slots hold in wirings with noisy ones, of values by rank; None where tokens are ids."""
    blank = table.at[table.holds == BLANK]
    return Noisy(noise[:, blank], torch.rand(len(noise), len(blank))) if noise.is_floating_point() else None


@over_tables
def test_fill_reads_only_what_is_held(wiring: Wiring, sizes: tuple[int, ...], prefix: int) -> None:
    """A step's slots have the contents that they have in the whole sequence, whatever lies at sites not held."""
    sites, batch, dim = sum(sizes), 2, 8
    layout = pyramid(1, 2, 3) if isinstance(wiring, Upsampled) else line(sites)
    if not accepts(wiring.check, sizes, layout):
        return  # on the only layout here that it takes
    for unit in UNITS:
        if not accepts(wiring.build, dim, unit, layout, CODEC):
            continue
        module = wiring.build(dim, unit, layout, CODEC)
        plan = Plan(torch.stack([torch.randperm(sites) for _ in range(batch)]), sizes)
        if isinstance(wiring, Upsampled):  # its blocks stay where they are
            plan = Plan(torch.arange(sites), sizes, layout)
        tokens, start = random_tokens(unit, batch, sites), torch.randn(batch, prefix, dim)
        noise = random_tokens(unit, batch, sites)
        parts = steps(wiring, sizes, prefix)
        whole = wiring.whole(sizes, prefix)
        if wiring.afresh:  # computed step by step
            filled = torch.cat([module.fill(called(t), start, tokens, plan, noisy(t, noise)) for t in parts], dim=1)
        else:
            filled = module.fill(called(whole), start, tokens, plan, noisy(whole, noise))
        assert filled.shape == (batch, len(whole), dim)
        places: dict[Row, list[int]] = {}
        for place, row in enumerate(rows(whole)):
            places.setdefault(row, []).append(place)
        for table in parts:
            by_rank = torch.zeros_like(tokens)
            held = table.holds[table.holds >= 0]
            held = np.arange(held.max(initial=-1) + 1) if isinstance(wiring, Upsampled) else held  # the latest of many
            by_rank[:, held] = plan.to_ranks(tokens)[:, held]
            alone = module.fill(called(table), start, plan.to_sites(by_rank), plan, noisy(table, noise))
            torch.testing.assert_close(alone, filled[:, [places[row].pop(0) for row in rows(table)]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("wiring", toys(Wiring), ids=str)
def test_embeds_some_tokens(wiring: Wiring) -> None:
    assert any(accepts(wiring.build, 8, unit, grid(2, 2), CODEC) for unit in UNITS)


@pytest.mark.parametrize("memory", toys(Memory), ids=str)
@pytest.mark.parametrize("sizes", STEPS, ids=str)
def test_a_memory_sees_itself_and_no_later_step(memory: Memory, sizes: tuple[int, ...]) -> None:
    """So many ranks as `times` says: its own among them, and none beyond its step."""
    times, ends = memory.times(sizes), np.repeat(np.cumsum(sizes), sizes)
    assert (times > np.arange(sum(sizes))).all()
    assert (times <= ends).all()
