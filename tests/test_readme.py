"""What the README shows runs, and the commands it names take the options that it gives them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from nextset.cli import COMMANDS, main
from nextset.weights import known, published

from .test_structure import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)
LINES = [line.partition("#")[0].strip() for line in TEXT.splitlines() if line.startswith("    nextset ")]


def test_the_first_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As printed, but for the number of steps; comments after values are their shapes."""
    block = BLOCKS[0]
    short = block.replace("steps=300", "steps=3")
    assert short != block
    monkeypatch.chdir(tmp_path)
    values: dict[str, object] = {}
    exec(compile(short, "README.md", "exec"), values)
    for name, shape in re.findall(r"^(\w+) = .*# \(([\d, ]+)\)", block, re.M):
        assert tuple(values[name].shape) == tuple(int(n) for n in shape.split(",") if n.strip()), name  # type: ignore[attr-defined]


def test_published_names_are_published() -> None:
    """What the second example loads is where it says; nothing is downloaded."""
    shown = re.findall(r'load\("(.+?)"\)', BLOCKS[1])
    assert len(shown) == 2
    places = {place.network: f"{name}/{size}" for name in known() for size, place in published(name).items()}
    assert all(word in places.values() or word in places for word in shown)


@pytest.mark.parametrize("line", LINES)
def test_commands_take_the_options_shown(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[1:]
    capsys.readouterr()
    start = 2 if words[0] == "data" else 1
    assert main([*words[:start], "--help"]) == 0
    told = capsys.readouterr().out
    assert not [word for word in words if word.startswith("--") and word not in told]


def test_every_command_is_named() -> None:
    table = TEXT.split("## Commands")[1].split("## ")[0]
    assert not [name for name in COMMANDS if name not in table]


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", TEXT)
    assert pictures
    assert not [path for path in pictures if not (ROOT / path).is_file()]
