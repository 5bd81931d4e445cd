"""The demo, shortened: everything that it promises is written, and a second call finishes what the first began."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from nextset import load
from nextset.cli import main


def test_everything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--steps", "3", "--samples", "20"]) == 0
    last = capsys.readouterr().out.splitlines()
    assert "has learned to draw" in last[0]
    assert "bits a pixel" in last[1]
    assert Image.open(out / "samples.png").size == (10 * (8 * 6 + 2) + 2,) * 2
    assert Image.open(out / "inpaint.png").size == (8 * (8 * 6 + 2) + 2, 10 * (8 * 6 + 2) + 2)
    with Image.open(out / "writing.gif") as gif:
        assert gif.n_frames == 64, "one a pixel"
    assert Image.open(out / "curve.png").width > 100
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["bits_uniform"] == pytest.approx(4.087, abs=1e-3)
    assert figures["bits_histogram"] == pytest.approx(2.435, abs=1e-3)
    assert 2.4 < figures["guided"]["figures"]["bits"]["value"] < 4.1, "three steps teach little"
    assert load(out / "model").generate(3, count=2).shape == (2, 1, 8, 8)
    assert main(["demo", "--out", str(out), "--steps", "3", "--samples", "20", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["guided"]["figures"] == figures["guided"]["figures"], "the run was finished, not repeated"
