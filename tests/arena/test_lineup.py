"""Who takes part: names, sizes, and what becomes of a system on pictures of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextset import UsageError, catalogue
from nextset.arena import Contest, fitted, lineup, pictures_of
from nextset.arena.entrant import Entrant
from nextset.arena.judging import Judge
from nextset.arena.lineup import Pictures
from nextset.cli import main
from nextset.data.open import open_dataset

DIGITS, SHAPES = Pictures((8, 8), 1, 10), Pictures((32, 32), 3, 36)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """60 grey pictures of 12 x 10 pixels in two class folders."""
    rng = np.random.default_rng(0)
    for k in range(60):
        place = tmp_path / "photos" / ("even", "odd")[k % 2] / f"{k:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (10, 12), dtype=np.uint8)).save(place)
    return tmp_path / "photos"


def test_embedded_pictures() -> None:
    for data, shown in (("digits", DIGITS), ("shapes", SHAPES)):
        assert pictures_of(open_dataset(data, "test")) == shown


def test_everybody_with_a_size_takes_part_as_published() -> None:
    """And those that are named come first, once."""
    for data, shown in (("digits", DIGITS), ("shapes", SHAPES)):
        systems, misfits = lineup(["mar", "all"], data, shown)
        assert list(systems)[0] == "mar"
        assert set(systems) == {name for name in catalogue.names() if data in catalogue.sizes(name)}
        assert misfits == {}
        assert all(system == catalogue.spec(f"{name}/{data}") for name, system in systems.items())


def test_other_sizes_are_adapted(photos: Path) -> None:
    """To the pictures and classes, where the parts allow it; the others say why not."""
    shown = pictures_of(open_dataset(str(photos), "test"))
    assert shown == Pictures((8, 8), 1, 2)
    systems, misfits = lineup(["llamagen", "llamagen/shapes", "var"], str(photos), Pictures((16, 16), 1, 2))
    assert [(s.size, s.tokenizer.channels, s.condition.classes) for s in systems.values()] == [((16, 16), 1, 2)] * 2  # type: ignore[attr-defined]
    assert "change sides" in misfits["var"]
    systems, misfits = lineup(["all"], str(photos), shown)
    assert (len(systems), misfits) == (len(lineup(["all"], "digits", DIGITS)[0]), {})


def test_sizes_too_large_are_not_guessed() -> None:
    with pytest.raises(UsageError, match="no size 'digit'; did you mean 'digits'"):
        lineup(["llamagen/digit"], "digits", DIGITS)
    with pytest.raises(UsageError, match="each once"):
        lineup(["all", "all"], "digits", DIGITS)


def test_pictures_of_ones_own_are_judged_without_a_classifier(photos: Path, tmp_path: Path) -> None:
    contest = Contest(str(photos), parameters=60_000, steps=2, batch=16, samples=20, tries=8, scales=(1.0,))
    systems, _ = lineup(["nar"], contest.data, pictures_of(open_dataset(contest.data, "test")))
    found = Entrant(contest, fitted(systems["nar"], contest.parameters), 0, 1e7, tmp_path / "run").run()
    assert found.figures["frechet"] >= 0  # type: ignore[operator]
    assert "accuracy" not in found.figures
    assert any("random weights" in note for note in found.notes)
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["train_steps"] >= 1


def test_captions_are_graded_by_category() -> None:
    """A system that is told captions keeps them, and is asked GenEval's six kinds of prompts."""
    contest = Contest("shapes", samples=10)
    systems, misfits = lineup(["llamagen/t2i-shapes"], "shapes", SHAPES)
    assert (systems["llamagen/t2i-shapes"], misfits) == (catalogue.spec("llamagen/t2i-shapes"), {})
    judge = Judge(contest, systems["llamagen/t2i-shapes"].build().eval(), 0)
    found = judge.prompts(1.0)
    assert judge.captioned
    assert len(found) == 7
    assert found["prompt/overall"] == pytest.approx(sum(v for k, v in found.items() if k != "prompt/overall") / 6)
    assert judge.bits() == {"likelihood": "none: it is told captions"}


def test_data_without_classes_is_refused(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arena", "--systems", "all", "--data", str(photos / "odd"), "--out", str(tmp_path / "x")]) == 2
    assert "has no classes" in capsys.readouterr().err
