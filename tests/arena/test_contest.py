"""A contest in miniature: what is equal, what is not done twice, and what happens to those that fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from nextset import UsageError
from nextset.arena import Contest, run
from nextset.arena.contest import Register
from nextset.arena.entrant import Entrant
from nextset.arena.workers import Call
from nextset.cli import main
from nextset.train import Trainer
from tests.arena.conftest import GOOD, TINY, Held

MODULE = import_module("nextset.arena.run")
SECONDS = {"train_seconds", "judging_seconds"}


def same(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures without the times of this machine."""
    return {name: value for name, value in figures.items() if name not in SECONDS}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that would be made: none is."""
    names: list[str] = []

    def spread(calls: dict[str, Call], *_: object) -> Iterator[tuple[str, Any]]:
        names.extend(calls)
        yield from ()

    monkeypatch.setattr(MODULE, "spread", spread)
    return names


def test_all_have_one_budget(held: Held) -> None:
    """Parameters within 10%, arithmetic as near as whole steps allow."""
    terms = Register.opened(held.contest, held.out).terms
    assert terms is not None
    assert (terms.first, terms.steps, terms.rate) == ("par", 2, 0.0)
    for name in GOOD:
        (figures,) = (run.figures for run in held[name].runs)
        assert abs(figures["parameters"] / TINY.parameters - 1) <= 0.1
        assert (
            abs(figures["train_multiply_adds"] - terms.compute)
            <= figures["train_multiply_adds"] / figures["train_steps"]
        )


def test_judged_at_the_best_scale(held: Held) -> None:
    for name in GOOD:
        figures = held[name].runs[0].figures
        scales = {scale: figures[f"frechet@{scale:g}"] for scale in TINY.scales}
        assert figures["guidance"] == min(scales, key=lambda scale: scales[scale])
        assert 0 < figures["bits"] < 6
        assert 0 <= figures["accuracy"] <= 1
        assert len(held[name].classes) == 10
        assert min(held[name].times.values()) > 0


def test_trouble_is_told(held: Held) -> None:
    """And the others go on."""
    told = {name: held[name].failed for name in held.systems}
    assert told == {
        "par": "",
        "nar": "",
        "raises": "seed 0 crashed: RuntimeError: it exploded <here>",
        "killed": "seed 0 crashed: the process was ended by SIGKILL",
        "diverges": "seed 0 diverged at step 1",
    }
    assert "and there" in (held.out / "raises" / "seed-0" / "log.txt").read_text()
    assert "do not fit" in held["<odd>"].failed


def test_curves(held: Held) -> None:
    """Of those that finished, and of one that diverged as far as it came."""
    curve = held["par"].curves[0]
    assert [share for share, _ in curve.training] == [0.5, 1.0]
    assert curve.held_out[-1][0] == 1.0
    assert [share for share, _ in held["diverges"].curves[0].training] == [0.5]


def test_goes_on_where_it_was(held: Held, asked: list[str]) -> None:
    """What is done is read, not done again, nor what failed unless that is asked for; other seeds may join."""
    assert run(TINY, held.systems, held.out) == held.entries
    assert asked == []
    run(TINY, held.systems, held.out, retry=True)
    assert asked == ["raises seed 0", "killed seed 0", "diverges seed 0"]
    asked.clear()
    run(TINY, GOOD, held.out, seeds=2)
    assert asked == ["par seed 1", "nar seed 1"]


def test_other_terms_need_another_folder(held: Held, asked: list[str]) -> None:
    with pytest.raises(UsageError, match="steps 2 -> 3"):
        run(replace(TINY, steps=3), GOOD, held.out)
    other = replace(GOOD["par"], condition=replace(GOOD["par"].condition, dropout=0.2))
    with pytest.raises(UsageError, match=r"another par \(condition.dropout 0.1 -> 0.2"):
        run(TINY, {"par": other}, held.out)
    assert asked == []


def test_goes_on_in_the_middle(held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that was stopped ends as one that was not, also alone and not beside another; one that had ended is not trained again."""
    register = Register.opened(held.contest, held.out)
    assert register.terms is not None
    entrant = Entrant(TINY, register.entrants["par"], 0, register.terms.compute, tmp_path)
    step, taken = Trainer._step, []

    def stopping(self: Trainer, number: int, batch: Any) -> dict[str, float]:
        taken.append(number)
        if taken == [0, 1]:
            raise KeyboardInterrupt
        return step(self, number, batch)

    monkeypatch.setattr(Trainer, "_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        entrant.run()
    found = entrant.run()
    assert same(found.figures) == same(held["par"].runs[0].figures)
    assert taken == [0, 1, 1]
    assert same(entrant.run().figures) == same(found.figures)
    assert taken == [0, 1, 1]


def test_a_time_becomes_arithmetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured by the first system, once."""
    contest = replace(TINY, steps=0, budget="30s")
    paces: list[int] = []

    def spread(calls: dict[str, Call], *_: object) -> Iterator[tuple[str, Any]]:
        for name, call in calls.items():
            if call.run.__name__ == "seconds_a_step":
                paces.append(1)
                yield name, 0.25 * len(paces)

    monkeypatch.setattr(MODULE, "spread", spread)
    run(contest, GOOD, tmp_path, jobs=2)
    run(contest, GOOD, tmp_path, jobs=2)
    terms = Register.opened(contest, tmp_path).terms
    assert terms is not None
    assert (len(paces), terms.steps) == (2, 80)  # the mean of 0.25 and 0.5 seconds
    assert terms.rate == pytest.approx(terms.compute / 30)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--systems", "lamagen"], "did you mean 'llamagen'"),
        (["--systems", "llamagen,llamagen"], "each once"),
        (["--systems", ""], "there is no system ''"),
        (["--systems", "llamagen", "--data", "photos"], "is no path here"),
        (["--systems", "llamagen", "--budget", "soon"], "budget must be a time such as 90s"),
        (["--systems", "llamagen", "--budget", "0s"], "budget must be a time such as 90s"),
        (["--systems", "llamagen", "--steps", "-1"], "steps must not be negative"),
        (["--systems", "llamagen", "--seeds", "0"], "seeds must be at least 1"),
        (["--systems", "llamagen", "--jobs", "0"], "jobs must be at least 1"),
        (["--systems", "llamagen", "--samples", "3"], "samples (more than 3)"),
        (["--systems", "llamagen", "--scales", "nan"], "scales must be numbers"),
        (["--systems", "llamagen", "--extractor", "shapes"], "takes images (B, 3, 32, 32)"),
        (["--systems", "llamagen", "--parameters", "100"], "none of them can take part (llamagen: no width"),
    ],
)
def test_wrong_use(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena", *words, "--out", str(tmp_path / "x")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_damaged_contest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "contest.json").write_text("{}")
    with pytest.raises(RuntimeError, match="damaged or of another version"):
        run(TINY, GOOD, tmp_path)


def test_a_contest_travels_as_json() -> None:
    contest = dataclasses.replace(TINY, data="shapes", scales=(1.5,))
    assert Contest.from_dict(contest.to_dict()) == contest
