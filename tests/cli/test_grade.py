"""`nextset grade`: prompts, checkpoints, files and tokenizers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import nextset
from nextset.cli import main
from nextset.conditions import Label
from nextset.evaluate import Result, save_npz
from nextset.pretrained import save_tokenizer
from nextset.tokenizers.pixel import Pixel
from tests.laws.toys import tiny

Capture = pytest.CaptureFixture[str]


def test_prompts_are_listed(capsys: Capture) -> None:
    assert main(["grade", "prompts", "--count", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 18
    assert main(["grade", "prompts", "--count", "3", "--json"]) == 0
    assert [one["caption"] for one in json.loads(capsys.readouterr().out)] == lines


def test_pictures_in_files_are_graded(tmp_path: Path, capsys: Capture) -> None:
    save_npz(torch.zeros(12, 3, 32, 32), tmp_path / "grey.npz")
    out = tmp_path / "result.json"
    assert main(["grade", str(tmp_path / "grey.npz"), "--count", "2", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["grade/overall"]["value"] == 0
    assert Result.load(out).protocol.data == "shapes-prompts:2:0"


def test_checkpoints_are_asked_and_graded(tmp_path: Path, capsys: Capture) -> None:
    """An untrained one draws nothing that is right."""
    torch.manual_seed(0)
    folder = nextset.spec("llamagen/t2i-shapes").build().save_pretrained(tmp_path / "model")
    assert main(["grade", str(folder), "--count", "2", "--json"]) == 0
    found = Result.from_dict(json.loads(capsys.readouterr().out))
    assert found.protocol.condition == "caption"  # type: ignore[union-attr]
    assert found.protocol.guidance == "Constant(scale=3)"  # type: ignore[union-attr]
    assert found.figures["grade/overall"].value == 0
    assert "Captions" in found.metadata["system"]


def test_tokenizers_are_graded(tmp_path: Path, capsys: Capture) -> None:
    spec = Pixel(40, 3)
    save_tokenizer(tmp_path, spec, spec.build().state_dict())
    assert main(["grade", str(tmp_path), "--reconstructions", "--count", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clean"].keys() == found["reconstructed"].keys()
    assert found["reconstructed"]["scene/all"]["value"] == 1
    words = ["--data", "shapes-64(letters=3)", "--count", "10", "--json"]
    assert main(["grade", str(tmp_path), "--reconstructions", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reconstructed"]["grade/word"]["value"] == 1
    assert main(["grade", str(tmp_path), "--reconstructions", "--data", "digits"]) == 2
    assert "data must be of shapes" in capsys.readouterr().err


def test_wrong_use_is_told(tmp_path: Path, capsys: Capture) -> None:
    model = replace(tiny("llamagen"), tokenizer=Pixel(17, 3), size=(8, 8), condition=Label(10)).build()
    model.save_pretrained(tmp_path / "model")
    assert main(["grade", str(tmp_path / "model")]) == 2
    assert "takes no captions" in capsys.readouterr().err
    assert main(["grade", "prompts", "--count", "0"]) == 2
    assert "count must be" in capsys.readouterr().err
    spec = Pixel(17)
    save_tokenizer(tmp_path / "grey", spec, spec.build().state_dict())
    assert main(["grade", str(tmp_path / "grey"), "--reconstructions"]) == 2
    assert "1 channel" in capsys.readouterr().err
