"""What the documents say of the tree is so."""

from __future__ import annotations

import re

import pytest

from nextset.backbones import Backbone
from nextset.cli import COMMANDS
from nextset.conditions import Condition
from nextset.decode import Guidance
from nextset.heads import Head
from nextset.mixers import Mixer
from nextset.objectives import Objective
from nextset.orders import Order
from nextset.tokenizers.base import Tokenizer
from nextset.wirings import Wiring

from .laws.parts import leaves
from .test_structure import LEVELS, ROOT

ARCHITECTURE = ROOT / "docs" / "architecture.md"


@pytest.mark.parametrize("name", ["docs/architecture.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(name: str) -> None:
    named = re.findall(r"`((?:nextset|tests)/[\w./]*)`", (ROOT / name).read_text(encoding="utf-8"))
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_tree_is_that_of_the_imports() -> None:
    """The levels as the architecture lists them, from the top, are those of LEVELS that exist."""
    section = ARCHITECTURE.read_text(encoding="utf-8").split("## The tree")[1].split("## ")[0]
    rows = [
        set(re.split(r"\s{2,}", line.strip())[0].split()) for line in section.splitlines() if line.startswith("    ")
    ]
    source = ROOT / "nextset"
    exist = [{name for name in names if not name.startswith("__")} for names in reversed(LEVELS)]
    exist = [{n for n in names if (source / n).is_dir() or (source / f"{n}.py").is_file()} for names in exist]
    assert rows == [names for names in exist if names]


def test_the_architecture_names_every_part() -> None:
    """The table of what exists."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    kinds = (Tokenizer, Order, Wiring, Backbone, Mixer, Head, Condition, Objective, Guidance)
    parts = [leaf.__name__ for leaf in leaves() if issubclass(leaf, kinds)]
    assert len(parts) > len(kinds)
    assert not [name for name in parts if f"`{name}`" not in text]


def test_the_changelog_names_every_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert not [name for name in COMMANDS if not re.search(rf"`{name}( \w+)?`", text)]
