"""Data sets by name."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nextset.data.open import open_dataset
from nextset.data.shapes import Shapes, World
from nextset.errors import UsageError


@pytest.mark.parametrize(
    ("source", "size", "world"),
    [
        ("shapes", 32, World()),
        ("shapes-64", 64, World()),
        ("shapes-20", 20, World()),
        ("shapes(most=2)", 32, World(most=2)),
        ("shapes-48(textures=('plain', 'dotted'), fades=True, jitter=0.1)", 48, World(textures=("plain", "dotted"), fades=True, jitter=0.1)),
        ("shapes(overlap=0)", 32, World()),
    ],
)  # fmt: skip
def test_worlds_have_names(source: str, size: int, world: World) -> None:
    data = open_dataset(source, "test")
    assert isinstance(data, Shapes)
    assert (data.size, data.world, len(data)) == (size, world, 2000)
    assert np.array_equal(open_dataset(data.name.partition(":")[0], "test")[3].image, data[3].image)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("shapes(mots=2)", "no 'mots'; did you mean 'most'"),
        ("shapes(most='two')", "most is like 3, got 'two'"),
        ("shapes(fades=1)", "fades is like False, got 1"),
        ("shapes(most=9)", "most must be 1 to 6"),
        ("shapes(2)", "not of the form name=value"),
        ("shapes(most=open('x'))", "malformed"),
        ("shapes(most=2", "no data set of nextset"),
        ("shapes(most=)", "a world is said as"),
        ("shapes-8", "size >= 16"),
        ("shaped", "did you mean 'shapes'"),
    ],
)
def test_wrong_names_are_told(source: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        open_dataset(source)
