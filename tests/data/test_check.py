from __future__ import annotations

import json
from pathlib import Path

import pytest

from nextset.data.check import check

from .conftest import encoded


def test_a_whole_folder(folder: Path) -> None:
    report = check(str(folder))
    assert report.ok
    assert report.count == 60
    assert report.per_class == {"a_dog": 30, "b_cat": 30}
    assert report.sizes == {"min": (12, 10), "median": (12, 10), "max": (12, 10)}
    assert report.common == [((12, 10), 60)]
    assert report.modes == {"RGB": 60}
    assert report.split["train"] + report.split["test"] == 60
    assert report.duplicates == 0
    assert report.small_classes == []
    assert report.verdict.startswith(f"ready: {report.split['train']} pictures")
    assert json.loads(json.dumps(report.to_dict()))["verdict"] == report.verdict


def test_everything_that_is_wrong(folder: Path) -> None:
    (folder / "c_fox").mkdir()
    (folder / "c_fox" / "x.png").write_bytes(encoded(0, mode="RGBA", size=(40, 20)))
    (folder / "c_fox" / "y.png").write_bytes((folder / "b_cat" / "001.png").read_bytes())
    (folder / "c_fox" / "z.png").write_bytes(encoded(5)[:200])
    (folder / "c_fox" / "empty.jpg").write_bytes(b"")
    report = check(str(folder))
    assert not report.ok
    assert [Path(name).name for name, _ in sorted(report.broken)] == ["empty.jpg", "z.png"]
    assert report.duplicates == 1
    assert report.small_classes == ["c_fox"]
    assert report.sizes["max"] == (40, 20)
    assert report.modes["RGBA"] == 1
    text = str(report)
    assert f"broken       {folder}/c_fox/z.png: is damaged" in text
    assert "fewer than 20 pictures in c_fox (4)" in text
    assert text.splitlines()[-1].startswith("2 of 64 pictures cannot be read")


def test_shards_and_embedded_data(tars: Path) -> None:
    assert check(str(tars)).captioned == 30
    report = check("digits")
    assert (report.count, report.split) == (1797, {"train": 1437, "test": 360})
    assert report.verdict.endswith("class-conditional on 10 classes, at up to 8 pixels")


def test_progress_is_silent_without_a_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(str(folder))
    assert capsys.readouterr().err == ""
