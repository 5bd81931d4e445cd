"""A contest in miniature: what is written, what is not done twice, and what happens to those that fail."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from nextset import UsageError
from nextset.arena import Contest, Entry, run, table, write_report
from nextset.arena import contest as module
from nextset.arena.report import HTML, JSON, PLOT
from nextset.cli import main

TINY = Contest(parameters=60_000, steps=2, batch=8, samples=20, scales=(1.0, 2.0))
NAMES = ("llamagen", "randar")


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Entry]]:
    """A contest that was run once."""
    out = tmp_path_factory.mktemp("contest")
    entries = run(TINY, NAMES, out)
    write_report(TINY, entries, out)
    return out, entries


def test_both_have_one_budget(held: tuple[Path, list[Entry]]) -> None:
    """Parameters within 10%, arithmetic as near as whole steps allow."""
    _, entries = held
    assert [entry.failed for entry in entries] == ["", ""]
    for entry in entries:
        assert abs(entry.figures["parameters"] / TINY.parameters - 1) <= 0.1
    one, other = (entry.figures for entry in entries)
    step = other["train_multiply_adds"] / other["train_steps"]
    assert abs(one["train_multiply_adds"] - other["train_multiply_adds"]) <= step


def test_figures_are_those_of_the_best_scale(held: tuple[Path, list[Entry]]) -> None:
    for entry in held[1]:
        figures = entry.figures
        assert figures["frechet"] == min(figures["frechet@1"], figures["frechet@2"])
        assert figures[f"accuracy@{figures['guidance']:g}"] == figures["accuracy"]
        assert 0 < figures["bits"] < 6


def test_report(held: tuple[Path, list[Entry]]) -> None:
    """JSON, a plot, and a page that asks nothing of the network."""
    out, entries = held
    assert json.loads((out / JSON).read_text())["entries"] == [dataclasses.asdict(entry) for entry in entries]
    assert (out / PLOT).read_bytes().startswith(b"\x89PNG")
    page = (out / HTML).read_text()
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    for entry in entries:
        assert f"{entry.figures['frechet']:.2f}" in page


def test_goes_on_where_it_was(held: tuple[Path, list[Entry]], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done is read, not done again; another contest in the same folder is refused."""
    out, entries = held
    monkeypatch.setattr(module, "set_up_generator", None)
    assert run(TINY, NAMES, out) == entries
    with pytest.raises(UsageError, match="steps 2 -> 3"):
        run(dataclasses.replace(TINY, steps=3), NAMES, out)


def test_one_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the others go on; the next call tries it again."""

    def broken(system: object, *args: object, **options: object) -> None:
        raise RuntimeError("it exploded <here>")

    monkeypatch.setattr(module, "set_up_generator", broken)
    entries = run(TINY, ("llamagen",), tmp_path)
    assert entries[0].failed == "it exploded <here>"
    write_report(TINY, entries, tmp_path)
    assert "it exploded &lt;here&gt;" in (tmp_path / HTML).read_text()
    assert table(entries)[1][1] == "failed: it exploded <here>"
    assert not list(tmp_path.rglob("entry.json"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which systems first"),
        (["lamagen"], "did you mean 'llamagen'"),
        (["llamagen", "llamagen"], "each once"),
        (["llamagen", "--data", "photos"], "data must be one of"),
        (["llamagen", "--steps", "0"], "at least 1"),
    ],
)
def test_wrong_use(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words, *(["--out", str(tmp_path / "x")] if words else [])]) == 2
    assert said in capsys.readouterr().err
