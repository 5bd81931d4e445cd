"""Results know how they were made, and only equals are compared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from nextset.errors import NextsetError, UsageError
from nextset.evaluate.protocol import Figure, Protocol, Result, compare

BASE = Protocol(metrics=("frechet", "accuracy"), data="digits:test", extractor="digits-cnn-v1:abc", size=(8, 8))


def result(protocol: Protocol = BASE, frechet: float = 3.0, accuracy: float = 0.9) -> Result:
    figures = {"frechet": Figure(frechet, ""), "accuracy": Figure(accuracy, "", 0.03, more_is_better=True)}
    return Result(protocol, figures, ("few samples",), {"checkpoint": "runs/a", "per_class": [0.5, None]})


def test_the_id_follows_every_field() -> None:
    assert BASE.id == dataclasses.replace(BASE).id
    assert len(BASE.id) == 12
    changed = {
        "metrics": ("frechet",),
        "size": (8, 9),
        "balance": "uniform",
        "condition": "caption",
    }
    ids = {BASE.id}
    for f in dataclasses.fields(Protocol):
        value = getattr(BASE, f.name)
        new = changed.get(f.name, value + 1 if isinstance(value, int) else f"{value}x")
        ids.add(dataclasses.replace(BASE, **{f.name: new}).id)
    assert len(ids) == 1 + len(dataclasses.fields(Protocol))


def test_round_trip(tmp_path: Path) -> None:
    result().save(tmp_path / "r.json")
    assert Result.load(tmp_path / "r.json") == result()
    assert json.loads((tmp_path / "r.json").read_text())["id"] == BASE.id
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_differences() -> None:
    frechet, accuracy = compare(result(), result(frechet=2.5, accuracy=0.95))
    assert (frechet.name, frechet.delta, frechet.errors, frechet.better) == ("frechet", -0.5, None, "right")
    assert accuracy.delta == pytest.approx(0.05)
    assert accuracy.errors == pytest.approx(0.05 / (0.03 * 2**0.5))
    assert accuracy.better == "right"
    assert [d.better for d in compare(result(), result(frechet=3.5, accuracy=0.9))] == ["left", "equal"]


def test_results_of_two_protocols_are_not_compared() -> None:
    other = dataclasses.replace(BASE, extractor="digits-cnn-v1:def", samples=50)
    with pytest.raises(UsageError, match="samples 1000 vs 50, extractor digits-cnn-v1:abc vs digits-cnn-v1:def"):
        compare(result(), result(other))


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with pytest.raises(UsageError, match=r"r\.json does not exist"):
        Result.load(path)
    for text, error in [
        ("{", NextsetError),
        ("{}", UsageError),
        ("[]", UsageError),
        ('{"nextset_result": 1}', NextsetError),
    ]:
        path.write_text(text)
        with pytest.raises(error, match=r"r\.json"):
            Result.load(path)
    edited = result().to_dict()
    edited["protocol"]["samples"] = 50_000
    path.write_text(json.dumps(edited))
    with pytest.raises(UsageError, match="changed afterwards"):
        Result.load(path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"metrics": ("frechte",)}, "did you mean 'frechet'"),
        ({"metrics": ()}, "at least one"),
        ({"metrics": ("bits", "bits")}, "each once"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"balance": "some"}, "balance"),
        ({"balance": "uniform", "condition": "caption"}, "captions"),
    ],
)
def test_bad_protocols_are_refused(fields: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Protocol(**fields)


def test_likelihood_alone_needs_no_samples() -> None:
    assert Protocol(metrics=("bits",), samples=0).samples == 0
