"""Every leaf of every kind is a good spec, and is tested at all."""

from __future__ import annotations

import dataclasses
import json

import pytest

from nextset import System, UsageError, catalogue
from nextset.nn import feedforward, modulation, norm, places
from nextset.spec import Spec

from .parts import APART, KINDS, TOYS, leaves, toys

PIECES = [
    leaf for home in (norm, feedforward, modulation, places) for leaf in vars(home).values() if isinstance(leaf, type)
]
NAMES = {leaf.__name__: leaf for leaf in (*leaves(), *map(type, TOYS), *PIECES, System)}
SPECS = (*TOYS, *(spec for name in catalogue.names() for spec in catalogue.sizes(name).values()))


def test_every_leaf_has_a_toy_instance() -> None:
    """A new part is tested by existing: its author adds an instance to TOYS, and the laws of its kind run on it."""
    tested = {type(toy) for toy in TOYS}
    assert not [leaf.__name__ for leaf in leaves() if issubclass(leaf, KINDS) and leaf not in tested]


def test_every_leaf_is_of_a_kind() -> None:
    """A new kind of part gets its laws: it is listed in KINDS."""
    assert not [leaf.__name__ for leaf in leaves() if not issubclass(leaf, (*KINDS, *APART))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_has_leaves(kind: type[Spec]) -> None:
    assert toys(kind)


@pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: leaf.__name__)
def test_leaves_are_final_and_frozen(leaf: type[Spec]) -> None:
    """A class is an interface or a leaf: what is made is never subclassed, and never changed."""
    assert not [cls for cls in leaf.__subclasses__() if cls.__module__.startswith("nextset.")]
    assert leaf.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__eq__" in vars(leaf), "a dataclass compares by its fields"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_json_round_trip(spec: Spec) -> None:
    """Through text and back: equal, with the same hash, and without a difference."""
    again = Spec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert type(again) is type(spec)
    assert hash(again) == hash(spec)
    assert spec.diff(again) == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_text_is_the_call_that_makes_it(spec: Spec) -> None:
    """What is printed is what one would write."""
    assert eval(str(spec), dict(NAMES)) == spec


@pytest.mark.parametrize("spec", TOYS, ids=lambda spec: type(spec).__name__)
def test_unknown_fields_are_refused(spec: Spec) -> None:
    """A misspelt field is an error that suggests the right one."""
    fields = [f.name for f in dataclasses.fields(spec)]
    word = f"{fields[0]}x" if fields else "anything"
    with pytest.raises(UsageError, match=f"did you mean '{fields[0]}'" if fields else "no field"):
        Spec.from_dict({**spec.to_dict(), word: 1})
