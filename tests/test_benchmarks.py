"""The benchmarks: both contestants compute the same, rounds and figures are what they say, and how the command ends."""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import benchmarks
import nextset
from benchmarks import MILLISECONDS, PER_SECOND, Case, Row
from benchmarks.__main__ import main
from benchmarks.continuous import one_by_one, requests, together
from benchmarks.continuous import rows as continuous
from benchmarks.growth import CLEAR, Point, exponent, fitted, highest
from benchmarks.machine import Limit, Machine
from benchmarks.plain.llamagen import PlainLlama, PlainTraining
from benchmarks.rounds import alternate, timed, times_faster
from benchmarks.sampling import SCALE, Contest, agree, distance, fidelity, guided, least, race
from benchmarks.subjects import Asked
from benchmarks.training import agree as agree_in_loss
from benchmarks.training import alone
from benchmarks.variants import weight_bytes
from nextset import NextsetError, UsageError
from nextset.account import account
from nextset.conditions import Label, Unconditional
from nextset.heads import Categorical
from nextset.nn.packed import Int8Weights
from nextset.train import Recipe
from nextset.train.phase import optimiser

TINY = replace(nextset.spec("llamagen/tiny"), head=Categorical(std=0.5), condition=Label(3))
MACHINE = Machine(
    "a CPU",
    2,
    1,
    "2",
    bytes_per_second=100.0,
    multiply_adds_per_second=10.0,
    bfloat16_per_second=20.0,
    int8_per_second=40.0,
)
TOKENS, LABELS = torch.arange(48).view(3, 16) % 5, torch.tensor([0, 1, 2])


@pytest.fixture
def model() -> nextset.Model:
    """A tiny LlamaGen with weights so large that tokens, places and labels matter, evaluating."""
    model = TINY.build().eval()
    for weight in model.network.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return model


def test_the_plain_network_is_ours(model: nextset.Model) -> None:
    """Log-likelihoods of every site. Tolerances: a handful of float32 roundings."""
    logits = PlainLlama(model.network).eval()(TOKENS, LABELS)
    theirs = logits.log_softmax(-1).gather(-1, TOKENS[..., None])[..., 0]
    ours = model.network.site_log_probs(nextset.Tokens(TOKENS, model.system.layout), LABELS, 0)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


def test_it_shares_the_weights_until_it_is_copied(model: nextset.Model) -> None:
    plain = PlainLlama(model.network)
    apart = copy.deepcopy(plain)
    with torch.no_grad():
        model.network.backbone.norm.weight.mul_(2)
        model.network.backbone.blocks[0].feedforward.rise.weight.mul_(2)
    assert torch.equal(plain.norm.weight, model.network.backbone.norm.weight)
    assert torch.equal(plain.blocks[0].w3.weight, model.network.backbone.blocks[0].feedforward.rise.weight.chunk(2)[1])
    assert not torch.equal(apart.norm.weight, plain.norm.weight)


def test_both_draw_the_same_tokens(model: nextset.Model) -> None:
    tokens = Asked(3, SCALE).ours(model)(None)
    assert torch.equal(PlainLlama(model.network).generate(LABELS, SCALE), tokens)
    assert not torch.equal(PlainLlama(model.network).generate(LABELS, 1.0), tokens)  # so guidance is compared as well


def test_nothing_is_reported_where_tokens_differ(model: nextset.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = copy.deepcopy(PlainLlama(model.network))
    with torch.no_grad():
        plain.output.weight.neg_()
    wrong = {"plain": lambda steps: plain.generate(LABELS, SCALE, steps)}, {}
    monkeypatch.setattr("benchmarks.sampling.others", lambda *_: wrong)
    with pytest.raises(NextsetError, match="other tokens"):
        list(race(Contest("tiny", TINY, Asked(3, SCALE)), MACHINE))
    with pytest.raises(NextsetError, match="the loss is"):
        agree_in_loss("tiny", model.network, plain, (TOKENS, LABELS))


@pytest.mark.parametrize("name", ["llamagen", "arpg"])
def test_samples_may_part_where_tokens_tie(name: str) -> None:
    """Tokens 0 and 1 have one logit: who takes the one for the other is right, who takes another one is not."""
    system = replace(nextset.spec(f"{name}/tiny"), condition=Label(3))
    model, contest = system.build().eval(), Contest(name, system, Asked(3))
    for weight in model.network.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    with torch.no_grad():
        model.network.head.project.weight[1] = model.network.head.project.weight[0]
    ours = contest.asked.ours(model)(None)
    sample, site = (ours == 0).nonzero()[0].tolist()
    parted = ours.clone()
    parted[sample, site] = 1
    assert agree(contest, model, ours, ours) == ""
    assert agree(contest, model, ours, parted) == "1 of 3 part where two tokens tie"
    parted[sample, site] = 2
    with pytest.raises(NextsetError, match="other tokens"):
        agree(contest, model, ours, parted)


def test_a_contest_has_a_row_a_variant_and_opponent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One who is not installed is left out, and said to be."""

    def absent(network: nextset.Model) -> Any:
        raise UsageError("install it")

    monkeypatch.setattr("benchmarks.subjects.HuggingFaceLlama", absent)
    found = list(race(Contest("tiny", TINY, Asked(2, SCALE, 4), ("plain", "transformers"), 0.0), MACHINE))
    assert [(row.variant, row.against) for row in found] == [
        (variant, "plain") for variant in ("float32", "bfloat16", "float16", "int8")
    ]
    assert found[0].case == "tiny, batch 2, guidance 4, first 4 of 16 steps"
    assert found[0].note.endswith("1 rounds")
    assert "transformers is left out: install it" in capsys.readouterr().err


def test_how_near_narrower_weights_are(model: nextset.Model) -> None:
    """Guidance counts, and later steps than were drawn do not."""
    asked = Asked(3, SCALE)
    exact = lambda: guided(model, asked, TOKENS)
    assert fidelity(exact, model, asked, TOKENS, TOKENS) == "100.0% of choices stay, logits 0.00% off"
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.network.head.project.weight.neg_()
    assert fidelity(exact, other, asked, TOKENS, TOKENS).endswith("logits 200.00% off")
    drawn = asked.ours(model)(None)
    assert torch.equal(guided(model, asked, drawn).argmax(-1), drawn)
    assert torch.equal(guided(model, Asked(3, SCALE, 4), drawn), guided(model, asked, drawn)[:, :4])
    assert distance(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 0.0])) == pytest.approx(4 / 3)


@pytest.mark.parametrize(("name", "share"), [("llamagen", 0.5), ("aim", 1.0)])
def test_the_limit_reads_what_a_step_reads(name: str, share: float) -> None:
    """Half the cache on average where it grows, all of it where it is a state; a tied table as well; and half of it for half the steps."""
    system = nextset.spec(f"{name}/tiny")
    model, machine = system.build().eval(), replace(MACHINE, multiply_adds_per_second=1e12)
    steps, cache = system.layout.sites, account(system).cache_bytes_float32
    contest = Contest(name, system, Asked(1, SCALE))
    weights = weight_bytes(model.network.backbone, model.network.head)
    if name == "aim":
        rare = weight_bytes(model.network.backbone.modulation)
        weights += weight_bytes(model.network.wiring) - rare + rare / steps
    limit, _ = least(model, "float32", contest, machine, 1.0)
    expected = steps * (weights + 2 * cache * share) / 100
    assert limit.seconds == pytest.approx(expected, rel=0.02)
    half, _ = least(model, "float32", replace(contest, asked=Asked(1, SCALE, steps // 2)), machine, 1.0)
    assert half.seconds < 0.55 * limit.seconds


def test_both_train_alike(model: nextset.Model) -> None:
    """Without dropout, a step of either changes the weights by the same, with and without recomputed activations."""
    still = replace(TINY, backbone=replace(TINY.backbone, dropout=0.0), condition=Label(3, dropout=0.0))
    ours = still.build()
    recipe = Recipe(clip=0.5)
    loops = [PlainTraining(copy.deepcopy(PlainLlama(ours.network, again)), recipe) for again in (False, True)]
    losses = [loop.step(TOKENS, LABELS) for loop in loops]
    ours.train()
    loss = ours.loss(nextset.Tokens(TOKENS, still.layout), LABELS)["loss"]
    loss.backward()
    torch.nn.utils.clip_grad_norm_(ours.network.parameters(), 0.5)
    optimiser(ours.network, recipe).step()
    assert losses == pytest.approx([loss.item()] * 2, rel=1e-5)
    for loop in loops:
        for plain, own in zip(
            loop.model.state_dict().items(), PlainLlama(ours.network).state_dict().items(), strict=True
        ):
            torch.testing.assert_close(plain[1], own[1], rtol=1e-4, atol=1e-5, msg=plain[0])


def test_another_system_is_refused() -> None:
    with pytest.raises(UsageError, match="class-conditional"):
        PlainLlama(replace(TINY, condition=Unconditional()).network())


def test_rounds_alternate() -> None:
    ran: list[str] = []

    def contestant(name: str, seconds: float) -> Callable[[], float]:
        return lambda: (ran.append(name), seconds + len(ran))[1]

    seconds = alternate({"a": contestant("a", 0), "b": contestant("b", 10)}, rounds=3)
    assert ran == ["a", "b", "b", "a", "a", "b"]
    assert seconds == {"a": [1, 4, 5], "b": [12, 13, 16]}


def test_no_round_begins_that_would_take_too_long() -> None:
    """Rounds of 20 ms in 50 ms: a third might end too late. One round is always run."""
    slow = {"a": timed(lambda: time.sleep(0.02))}
    assert len(alternate(slow, 9, budget=0.05)["a"]) in (1, 2)
    assert len(alternate(slow, 9, budget=0.0)["a"]) == 1
    assert len(alternate(slow, 3)["a"]) == 3


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """Of each round's ratio, not of the medians: those would give 4 / 2."""
    assert times_faster([1.0, 2.0, 4.0], [4.0, 3.0, 4.0]) == (1.5, 1.0, 4.0)


@pytest.mark.parametrize(("unit", "ours", "other", "limit"), [(MILLISECONDS, 200, 400, 50), (PER_SECOND, 5, 2.5, 20)])
def test_a_row_says_medians_and_distance(unit: str, ours: float, other: float, limit: float) -> None:
    row = Row.of(Case("b", "c", unit), 10, [2.0, 9.0, 1.0], [4.0, 9.0, 3.0], Limit(0.5, "memory"))
    assert (row.ours, row.other, row.limit) == (ours, other, limit)
    assert (row.ratio, row.lowest, row.highest, row.distance) == (2.0, 1.0, 3.0, 4.0)
    lonely = Row.of(Case("b", "c", unit), 10, [2.0], None, Limit(0.5, "memory"))
    assert (lonely.ours, lonely.other, lonely.against, lonely.ratio) == (ours, None, "", None)


@pytest.mark.skipif(not CLEAR.exists(), reason="needs Linux")
def test_memory_that_was_freed_before_counts_again() -> None:
    """Small tensors, which the C library would keep: 64 MB of them, freed, and asked for once more."""

    def hold() -> int:
        return len([torch.ones(4096) for _ in range(4096)])

    hold()
    before = highest()
    hold()
    assert 60e6 < highest(clear=False) - before < 80e6


def test_exponents_are_those_of_a_power() -> None:
    assert exponent([(n, 3 * n**1.5) for n in (64, 256, 1024)]) == pytest.approx(1.5)
    words = fitted([Point(n, 1e-3 * n**2, 8 * n, 0) for n in (64, 256, 1024, 4096)])
    assert "time 2.00, time a token 1.00, cache 1.00" in words
    assert "a token at 4096 sites takes 16.00 of one at 256, 4.00 of one at 1024" in words


def test_the_limit_is_the_slower_of_two() -> None:
    assert MACHINE.limit(200.0, 10.0) == Limit(2.0, "memory")
    assert MACHINE.limit(200.0, 30.0) == Limit(3.0, "arithmetic")
    assert MACHINE.limit(10.0, 40.0, "int8") == Limit(1.0, "arithmetic")


def test_weights_are_counted_by_their_bits() -> None:
    linear = torch.nn.Linear(64, 64)
    assert weight_bytes(linear) == 4 * (64 * 64 + 64)
    assert weight_bytes(Int8Weights(linear.weight, None)) < 64 * 64 * 4


def test_large_systems_step_alone() -> None:
    for system in (TINY, nextset.spec("mar/tiny")):
        rows = list(alone("tiny", system, 2, MACHINE))
        assert [row.case for row in rows] == ["tiny, batch 2", "tiny, batch 2, checkpointing"]
        assert all(row.ours > 0 and row.other is None for row in rows)


def test_the_engine_serves_what_one_by_one_does() -> None:
    (row,) = continuous(MACHINE, True, "float32")
    assert row.note.startswith("8 of 8 the same")
    assert row.ratio is not None


# -- the command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command with two benchmarks of no substance, on a machine of no speed: "fine" and "odd", which does not agree."""

    def fine(machine: Machine, quick: bool, only: str) -> Iterator[Row]:
        case = Case("fine", f"quick {quick} {only}".strip(), PER_SECOND)
        yield Row.of(case, 10, [1.0], [2.0], machine.limit(50, 0))

    def odd(machine: Machine, quick: bool, only: str) -> Iterator[Row]:
        raise NextsetError("nothing was measured")

    monkeypatch.setattr(Machine, "measured", staticmethod(lambda: MACHINE))
    for module in (benchmarks, sys.modules["benchmarks.__main__"]):
        monkeypatch.setattr(module, "NAMES", ("odd", "fine"))
    for name, found in (("fine", fine), ("odd", odd)):
        monkeypatch.setitem(sys.modules, f"benchmarks.{name}", SimpleNamespace(rows=found))  # type: ignore[arg-type]
    return lambda *words: main(list(words))


def test_the_table_names_machine_and_figures(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fine", "--quick") == 0
    said = capsys.readouterr().out
    assert "a CPU, 2 cores, 1 threads, torch 2" in said
    assert "fine: quick True  float32  tokens/s  10    5      plain  2.00 (2.00 to 2.00)  20 (memory)  2.0x" in said
    assert run("fine:part") == 0
    assert "fine: quick False part" in capsys.readouterr().out


def test_a_benchmark_that_fails_does_not_stop_the_others(run: Callable[..., int], capsys: Any) -> None:
    assert run("--json") == 1
    said = capsys.readouterr()
    assert "odd: nothing was measured" in said.err
    told = json.loads(said.out)
    assert [row["benchmark"] for row in told["rows"]] == ["fine"]
    assert told["machine"]["bytes_per_second"] == 100.0


def test_wrong_use_is_told_before_anything_is_measured(run: Callable[..., int], capsys: Any) -> None:
    assert run("fin") == 2
    assert "did you mean 'fine'" in capsys.readouterr().err
    assert run("--threads", "-1") == 2
    assert "threads must be" in capsys.readouterr().err


def test_both_servers_write_the_same() -> None:
    """Clocks go on from the first arrival, and nobody is done before it came."""
    model = TINY.build().eval()
    coming = requests(6, 3, rate=1e4, seed=0)
    assert [r.arrival for r in coming] == sorted(r.arrival for r in coming)
    ours, theirs = together(nextset.Engine(model, 4), coming), one_by_one(model, coming)
    assert all(torch.equal(a, b) for a, b in zip(ours.tokens, theirs.tokens, strict=True))
    for served in (ours, theirs):
        assert all(0 < latency <= served.end - r.arrival for latency, r in zip(served.latencies, coming, strict=True))
