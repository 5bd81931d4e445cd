"""The systems as data: `nextset list`, `info` and `diff`."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from nextset import catalogue
from nextset.account import Account, account, caching
from nextset.cli import main
from nextset.cli.catalogue import alphabet
from nextset.layout import Continuous, Discrete
from nextset.mixers import Window
from nextset.pretrained import save_tokenizer
from nextset.tokenizers.vq import VQ

Captured = pytest.CaptureFixture[str]
KEYS = ["name", "sizes", "unit", "tokenizer", "order", "wiring", "backbone", "head", "steps", "published"]


def asked(capsys: Captured, *words: str) -> Any:
    """What a command prints as JSON."""
    assert main([*words, "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return json.loads(told.out)


def test_list_has_a_row_for_every_system(capsys: Captured) -> None:
    rows = asked(capsys, "list")
    assert [row["name"] for row in rows] == list(catalogue.names())
    for row in rows:
        assert list(row) == KEYS
        assert row["sizes"] == list(catalogue.sizes(row["name"]))
        assert row["published"].keys() <= set(row["sizes"])
        assert all(files and all(isinstance(file, str) for file in files) for files in row["published"].values())


def test_a_row_says_what_the_system_decides(capsys: Captured) -> None:
    row = next(row for row in asked(capsys, "list") if row["name"] == "llamagen")
    assert (row["unit"], row["steps"]) == ("id of 16384", 256)
    parts = [row[part] for part in ("tokenizer", "order", "wiring", "backbone", "head")]
    assert parts == ["VQ", "Raster", "Shift", "Llama", "Categorical"]
    assert row["published"]["b"] == [f"FoundationVision/LlamaGen:{file}" for file in ("c2i_B_256.pt", "vq_ds16_c2i.pt")]
    assert "digits" not in row["published"]


def test_units_in_words() -> None:
    assert alphabet(Discrete(5)) == "id of 5"
    assert alphabet(Discrete(64, codes=4)) == "4 ids of 64"
    assert alphabet(Continuous(16)) == "vector of 16"


def test_list_is_one_row_a_system_for_programs(capsys: Captured) -> None:
    assert main(["list"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(catalogue.names())
    start = header.index("sizes")
    row = next(row for row in rows if row.startswith("llamagen "))
    assert [size.rstrip("*") for size in row[start:].split()] == list(catalogue.sizes("llamagen"))


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_list_fits_a_terminal(columns: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextset.cli.catalogue.is_terminal", lambda: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((columns, 24)))
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    words = " ".join(lines).split()
    assert {"Categorical", "16384", *(f"{size}*" for size in ("b", "t2i-xl-512"))} <= set(words)  # nothing is cut


def test_info_is_the_account(capsys: Captured) -> None:
    found = asked(capsys, "info", "llamagen/tiny")
    expected = dataclasses.asdict(account(catalogue.spec("llamagen/tiny")))
    assert {key: found[key] for key in expected} == expected
    assert {f.name for f in dataclasses.fields(Account)} <= found.keys()
    assert (found["name"], found["size"], found["unit"]) == ("llamagen/tiny", [4, 4], "id of 5")
    assert found["parts"]["condition"] == "Label(classes=3)"


def test_info_of_a_keeping(capsys: Captured) -> None:
    found = asked(capsys, "info", "llamagen/tiny", "--keeping", "window:3+1")["keeping"]
    cost = caching(catalogue.spec("llamagen/tiny"), Window(3, 1))
    assert (found["word"], found["bytes"]) == ("window:3+1", cost.bytes)
    read = (found["read_first"], found["read_last"], found["read_total"])
    assert read == (0, cost.reads[-1], sum(cost.reads))
    assert Window.from_dict(found["spec"]) == Window(3, 1)
    assert main(["info", "llamagen", "--keeping", "int8"]) == 0
    told = capsys.readouterr().out
    assert "  cache          18.9 MB an image in float32, 9.44 MB in bfloat16, 5.01 MB in int8\n" in told
    assert "  cache reads    9.4 MB in the last step, 1.2 GB an image, in bfloat16\n" in told
    assert (
        "  kept as        Int8(): 5.01 MB; the last step reads 4.99 MB, an image 639 MB, computed in bfloat16\n" in told
    )
    assert main(["info", "llamagen", "--keeping", "int4"]) == 2
    assert "keeping 'int4' is unknown; did you mean 'int8'?" in capsys.readouterr().err


def test_info_without_a_size_names_the_first(capsys: Captured) -> None:
    assert main(["info", "llamagen"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "llamagen/b"
    assert "  parameters     111 M, tokenizer 71.9 M" in told
    assert "  backbone       Llama(dim=768, depth=12, mixer=Attention(heads=12))" in told


def test_info_of_a_saved_model(tmp_path: Path, capsys: Captured) -> None:
    folder = catalogue.spec("llamagen/tiny").build().save_pretrained(tmp_path / "model")
    (folder / "model.safetensors").unlink()  # the weights are not read
    found, named = asked(capsys, "info", str(folder)), asked(capsys, "info", "llamagen/tiny")
    assert found == named | {"name": str(folder)}


def test_diff_says_what_is_decided_differently(capsys: Captured) -> None:
    found = asked(capsys, "diff", "llamagen/b", "llamagen/t2i-xl-256")
    assert (found["left"], found["right"]) == ("llamagen/b", "llamagen/t2i-xl-256")
    fields = {row["field"]: (row["left"], row["right"]) for row in found["differences"]}
    assert fields["backbone.depth"] == (12, 36)
    assert [part["type"] for part in fields["condition"]] == ["conditions.label.Label", "conditions.text.Text"]
    assert "tokenizer.vocab" not in fields


def test_diff_of_a_saved_model_and_its_name(tmp_path: Path, capsys: Captured) -> None:
    folder = catalogue.spec("llamagen/tiny").build().save_pretrained(tmp_path / "model")
    assert asked(capsys, "diff", str(folder), "llamagen/tiny")["differences"] == []
    assert main(["diff", str(folder), "llamagen/tiny"]) == 0
    assert capsys.readouterr().out == f"{folder} and llamagen/tiny decide the same\n"
    assert main(["diff", str(folder), "llamagen/digits"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == [str(folder), "llamagen/digits"]
    assert ["backbone.dim", "16", "96"] in lines


@pytest.mark.parametrize("command", ["info", "diff"])
def test_unknown_names_are_wrong_use(command: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "runs").mkdir()
    tokenizer = VQ(8, 4, 8, (1, 2), blocks=1, latent=8, groups=4)
    save_tokenizer(tmp_path / "tokenizer", tokenizer, tokenizer.build().state_dict())
    for word, told in {
        "lamagen": "did you mean 'llamagen'?",
        "llamagen/digit": "did you mean 'digits'?",
        str(tmp_path / "runs"): "has no config.json",
        str(tmp_path / "tokenizer"): "holds a tokenizer, no system",
    }.items():
        assert main([command, word, *(["llamagen"] if command == "diff" else [])]) == 2
        error = capsys.readouterr()
        assert error.out == ""
        assert told in error.err


def test_a_damaged_config_is_a_failure(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "config.json").write_text('{"nextset": 1, "system"')
    assert main(["info", str(tmp_path)]) == 1
    assert "config.json is not readable JSON" in capsys.readouterr().err
