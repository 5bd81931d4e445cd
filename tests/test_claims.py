"""The frame that claims run in; the experiments themselves are `make claims`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

import claims
from claims import Claim
from claims.__main__ import main
from nextset import catalogue

FEW = {"DRAWN": 20, "PICTURES": 12, "JUDGED": 16, "SEEDS": (1, 2)}  # what experiments have many of
GOOD = Claim("water is wet", "1.0", "1", holds=True)
BAD = Claim("the moon is cheese", "0.0", "1", holds=False)
KNOWN = Claim("birds are small", "2.0", "1", holds=False, note="this one is an ostrich")


def failing() -> Iterator[Claim]:
    """One claim, then a bug."""
    yield GOOD
    raise ValueError("no such number")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of claims that hold, that fail, that raise, and that are known not to hold here."""
    found = {"good": lambda: [GOOD], "bad": lambda: [GOOD, BAD], "broken": failing, "known": lambda: [KNOWN]}
    monkeypatch.setattr(claims, "names", lambda: tuple(sorted(found)))
    module = lambda name: SimpleNamespace(claims=found[name.rpartition(".")[2]])
    monkeypatch.setattr(claims.importlib, "import_module", module)


@pytest.mark.usefixtures("fake")
def test_what_holds_is_told_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["good"]) == 0
    *head, row = capsys.readouterr().out.splitlines()
    assert len(head) == 2
    assert row.startswith("| good | water is wet | 1.0 | 1 | holds | ")


@pytest.mark.usefixtures("fake")
def test_what_fails_ends_badly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bad", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [verdict["claim"]["holds"] for verdict in told] == [True, False]


@pytest.mark.usefixtures("fake")
def test_what_is_known_not_to_hold_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["known"]) == 0
    told = capsys.readouterr().out
    assert "does not hold here: this one is an ostrich" in told


@pytest.mark.usefixtures("fake")
def test_a_claim_that_raises_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[1] for row in rows] == ["bad", "bad", "broken", "broken", "good", "known"]
    assert "**fails**" in rows[3]
    assert "ValueError: no such number" in rows[3]


@pytest.mark.usefixtures("fake")
def test_an_unknown_name_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["goood"]) == 2
    assert "did you mean 'good'" in capsys.readouterr().err


def test_every_system_has_claims() -> None:
    assert not [name for name in catalogue.names() if name.replace("-", "_") not in claims.names()]


@pytest.mark.parametrize("name", claims.names())
def test_the_experiments_run_when_shortened(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps and a few pictures teach nothing: only that every claim is tried and says a figure."""
    module = claims.importlib.import_module(f"claims.{name}")
    for constant, few in FEW.items():
        if hasattr(module, constant):
            monkeypatch.setattr(module, constant, few)
    found = list(module.claims(steps=3))
    assert found
    assert all(claim.says and claim.figure and claim.must for claim in found)
