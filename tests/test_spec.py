"""Specs as data: printed, compared, edited, written and read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import pytest

from nextset import System, UsageError, catalogue
from nextset.backbones import Llama
from nextset.heads import Categorical
from nextset.mixers import Attention
from nextset.objectives.adversarial import TokenizerLoss
from nextset.orders import Order, Raster
from nextset.spec import Spec

BASE = catalogue.spec("llamagen/tiny")


@dataclass(frozen=True)
class Mine(Spec):
    """A leaf of a user's own."""

    sizes: tuple[tuple[int, ...], ...] = ()
    part: Spec = Raster()


def test_nested_specs_and_tuples_come_back() -> None:
    mine = Mine(((1, 2), (3,)), Llama(8, 1, Attention(2)))
    again = Spec.from_dict(mine.to_dict())
    assert again == mine
    assert mine.to_dict()["type"] == f"{__name__}.Mine"
    assert mine.to_dict()["sizes"] == [[1, 2], [3]]


def test_types_are_named_below_the_package() -> None:
    """So that a checkpoint stays readable where the package is vendored."""
    assert Raster().to_dict() == {"type": "orders.raster.Raster"}


def test_text_quotes_strings() -> None:
    assert str(TokenizerLoss(perceptual="a b")) == "TokenizerLoss(perceptual='a b')"


def test_text_leaves_defaults_out() -> None:
    assert str(Llama(8, 1, Attention(2), dropout=0.1)) == "Llama(dim=8, depth=1, mixer=Attention(heads=2))"


def test_diff_names_the_fields_that_differ() -> None:
    other = replace(BASE, size=(8, 8), backbone=replace(BASE.backbone, mixer=Attention(4, 2)))
    assert BASE.diff(other) == [
        ("backbone.mixer.heads", 2, 4),
        ("backbone.mixer.groups", 0, 2),
        ("size", (4, 4), (8, 8)),
    ]
    assert BASE.diff(replace(BASE)) == []


def test_diff_of_other_kinds_is_the_whole() -> None:
    assert Raster().diff(Categorical()) == [("", Raster(), Categorical())]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "raster",
        {},
        {"type": 3},
        {"type": ""},
        {"type": "Raster"},
        {"type": "orders.raster.Rooster"},
        {"type": "orders.base.Order"},
        {"type": "os.path.join"},
        {"type": "os.system"},
        {"type": "subprocess.Popen", "args": "true"},
        {"type": "errors.UsageError"},
        {"type": "..os.path.join"},
        {"type": "systems.llamagen.TINY"},
        {"type": "backbones.llama.Llama", "dim": 8},
        {"type": "decode.pick.Pick", "temperature": -1},
    ],
    ids=str,
)
def test_broken_data_is_refused(data: Any) -> None:
    with pytest.raises(UsageError):
        Spec.from_dict(data)


def test_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="Raster, not a System"):
        System.from_dict(Raster().to_dict())
    with pytest.raises(UsageError, match="order must be a Order"):
        System.from_dict({**BASE.to_dict(), "order": Categorical().to_dict()})
    with pytest.raises(UsageError, match="mixer must be a Mixer"):
        Spec.from_dict({**BASE.backbone.to_dict(), "mixer": 3})


def test_unknown_fields_suggest_the_nearest() -> None:
    with pytest.raises(UsageError, match="no field 'tokeniser'; did you mean 'tokenizer'"):
        System.from_dict({**BASE.to_dict(), "tokeniser": 1})


def test_reading_imports_nothing_foreign(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A type of a module that nobody imported is refused; the module is not run."""
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="import 'planted' first"):
        Spec.from_dict({"type": "planted.Order"})
    assert "planted" not in sys.modules


def test_reading_does_not_start_the_command_line() -> None:
    """`__main__` is the user's script, never the package's entry point."""
    with pytest.raises(UsageError):
        Spec.from_dict({"type": "__main__.Nothing"})


SCRIPT = """
from dataclasses import dataclass
from nextset.orders import Raster
from nextset.spec import Spec
@dataclass(frozen=True)
class Own(Spec):
    part: Spec = Raster()
assert Spec.from_dict(Own().to_dict()) == Own()
"""


def test_a_leaf_of_a_script_comes_back() -> None:
    """In a script the leaf's module is `__main__`."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_abstract_kinds_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        Order()  # type: ignore[abstract]
