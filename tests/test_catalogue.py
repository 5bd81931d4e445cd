"""Systems by name."""

from __future__ import annotations

import re

import pytest
import torch

import nextset
from nextset import System, UsageError, catalogue
from nextset.weights import published

NAMES = catalogue.names()


def test_names_are_the_modules() -> None:
    assert "llamagen" in NAMES
    assert list(NAMES) == sorted(set(NAMES))
    assert all(re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", name) for name in NAMES)
    assert nextset.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_size_builds(name: str) -> None:
    """All sizes are systems whose parts fit, shown on the meta device; the first one is what the bare name means."""
    sizes = catalogue.sizes(name)
    assert nextset.spec(name) == next(iter(sizes.values()))
    for size, system in sizes.items():
        assert isinstance(system, System)
        assert nextset.spec(f"{name}/{size}") is system
        with torch.device("meta"):
            assert sum(p.numel() for p in system.network().parameters()) > 0
            system.tokenizer.build()


@pytest.mark.parametrize("name", NAMES)
def test_modules_say_who_wrote_what(name: str) -> None:
    """The first line of a system's file: paper, year, arXiv number; then what is new, or that nothing is."""
    doc = catalogue.module(name).__doc__ or ""
    assert re.match(r".+ \(.+ (19|20)\d\d(, arXiv \d{4}\.\d{4,5})?\): .+", doc)
    assert "New here: " in doc


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes_are_sizes(name: str) -> None:
    """Files are listed for sizes that exist, each with its place."""
    found = published(name)
    assert found.keys() <= catalogue.module(name).SIZES.keys()
    assert all(
        re.fullmatch(r"[\w.-]+/[\w.-]+:[\w./-]+", file) or one.home for one in found.values() for file in one.files
    )
    assert all(one.network for one in found.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lamagen", "no system 'lamagen'; did you mean 'llamagen'?"),
        ("llamagen/xxl", "'llamagen' has no size 'xxl'; did you mean 'xxl-384'?"),
        ("llamagen/", None),
        ("", "no system ''"),
        ("os", "no system 'os'"),
        ("../spec", "no system '..'"),
    ],
)
def test_unknown_names(name: str, message: str | None) -> None:
    if message is None:
        assert catalogue.spec(name) == catalogue.spec("llamagen")
        return
    with pytest.raises(UsageError, match=re.escape(message)):
        catalogue.spec(name)


def test_systems_compare() -> None:
    """Two sizes differ in exactly what their calls say."""
    small, large = nextset.spec("llamagen/b"), nextset.spec("llamagen/b-384")
    assert small.diff(large) == [("size", (256, 256), (384, 384))]
    names = [name for name, _, _ in small.diff(nextset.spec("llamagen/l"))]
    assert names == ["backbone.dim", "backbone.depth", "backbone.mixer.heads"]
