"""Key maps: names, rules and moves, each there and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nextset.errors import UsageError
from nextset.keymap import Cut, Fresh, Joined, KeyMap, Made, Padded, Permuted, Squeezed, Stacked, Twice, Unused

KEYS = KeyMap({"a.{}.b.{}": "x{}.y{}", "joined.{}": ("left.{}", "right.{}"), "one": "eins"})


def numbered(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape) for shape in shapes]


def test_key_map_both_ways() -> None:
    b, left, right, one = numbered((2, 3), (2, 2), (2, 2), ())
    theirs = {"x0.y12": b, "left.3": left, "right.3": right, "eins": one}
    ours = KEYS.to_ours(theirs)
    assert ours.keys() == {"a.0.b.12", "joined.3", "one"}
    assert torch.equal(ours["joined.3"], torch.cat([left, right]))
    back = KEYS.to_theirs(ours)
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[key], value) for key, value in theirs.items())


def test_renaming_copies_nothing() -> None:
    """Billions of weights are moved once, when they are loaded."""
    b = torch.randn(2, 3)
    assert KEYS.to_ours({"x0.y1": b})["a.0.b.1"] is b
    assert KEYS.to_theirs({"a.0.b.1": b})["x0.y1"] is b


def test_keys_without_a_rule() -> None:
    """On the way in they keep their names, for `load_exactly` to report; on the way out they are an error."""
    lone, odd = numbered((2,), (2,))
    ours = KEYS.to_ours({"left.0": lone, "freqs": odd})
    assert ours.keys() == {"left.0", "freqs"}
    with pytest.raises(UsageError, match="no name in the other layout for freqs, left.0"):
        KEYS.to_theirs(ours)


def test_dots_are_dots() -> None:
    assert KEYS.to_ours({"x0Xy1": torch.zeros(1), "x.y": torch.zeros(1)}).keys() == {"x0Xy1", "x.y"}


def rows(*counts: int, width: int = 2) -> list[Tensor]:
    return [torch.randn(count, width) for count in counts]


A, B, C = rows(3, 3, 5)
BOTH_WAYS = {
    "side by side": (
        KeyMap({"w": Joined(("a", "b"), axis=-1)}),
        {"a": A, "b": B},
        {"w": torch.cat([A, B], 1)},
    ),
    "of stated rows": (
        KeyMap({"w": Joined(("a", "b", "c"), rows=(0, 1, 0))}),
        {"a": A, "b": C[:1], "c": B},
        {"w": torch.cat([A, C[:1], B])},
    ),
    "in another order": (
        KeyMap({"w.{}": Permuted("a.{}", (2, 0, 1))}),
        {"a.4": A},
        {"w.4": A[[2, 0, 1]]},
    ),
    "axes of size 1": (KeyMap({"w": Squeezed("a", (0, 2))}), {"a": A[None, :, None]}, {"w": A}),
    "stacked": (
        KeyMap({"w": Stacked("a.{}.b", (1, 2, -1), (1, 0))}),
        {f"a.{i}.b": torch.arange(4.0).view(1, 2, 2) + 10 * i for i in range(11)},
        {"w": torch.tensor([2.0, 3, 0, 1]) + 10 * torch.arange(11.0)[:, None]},
    ),
    "padded copies": (
        KeyMap({"w": Padded(("a", "b"))}),
        {"a": torch.cat([A, torch.zeros(1, 2)]), "b": torch.cat([A, torch.zeros(1, 2)])},
        {"w": A},
    ),
    "one that holds several": (
        KeyMap({"z": "z", "like": "like"}, (Cut("t", (("x", None), ("", 2), ("y", 0), ("z", "like"))),)),
        {"t": torch.cat([A, torch.zeros(2, 2), C[:1], B]), "like": torch.ones(3, 7)},
        {"x": A, "y": C[0], "z": B, "like": torch.ones(3, 7)},
    ),
    "the rest of a name": (KeyMap({"net.*": "model.net.*"}), {"model.net.a.0.w": A}, {"net.a.0.w": A}),
    "tied": (KeyMap({"w": "a"}, (Twice("a", "head"),)), {"a": A, "head": A}, {"w": A}),
    "made": (
        KeyMap({"w": "a"}, (Made("mask", "a", lambda a: torch.ones(len(a), len(a)).tril()),)),
        {"a": A, "mask": torch.ones(3, 3).tril()},
        {"w": A},
    ),
    "fresh": (
        KeyMap({"w": "a"}, (Fresh("hits", "a", lambda a: torch.zeros(len(a))),)),
        {"a": A},
        {"w": A, "hits": torch.zeros(3)},
    ),
}


@pytest.mark.parametrize("case", BOTH_WAYS)
def test_there_and_back(case: str) -> None:
    keys, theirs, ours = BOTH_WAYS[case]
    for found, wanted in ((keys.to_ours(theirs), ours), (keys.to_theirs(ours), theirs)):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], value) for key, value in wanted.items())


def test_unused_rows_are_zeros() -> None:
    keys = KeyMap({"w": "a"}, (Unused("a"),))
    blank = torch.cat([A[:-1], torch.zeros(1, 2)])
    assert torch.equal(keys.to_ours({"a": A})["w"], blank)
    assert torch.equal(keys.to_theirs({"w": A})["a"], blank)


def test_what_cannot_be_cut_is_kept_to_be_reported() -> None:
    """Too few rows, or too many for parts that are all counted."""
    keys = KeyMap({"x": "x", "y": "y"}, (Cut("t", (("x", 2), ("y", 2))),))
    for count in (3, 5):
        assert keys.to_ours({"t": torch.zeros(count, 2)}).keys() == {"t"}
