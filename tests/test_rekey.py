"""What is more than a name between layouts: there and back."""

from __future__ import annotations

import pytest
import torch

from nextset.rekey import Cut, Move, Stack, Twice, Unused

G = torch.Generator().manual_seed(0)


def official() -> dict[str, torch.Tensor]:
    head = torch.randn(3, 2, generator=G)
    state = {
        "table": torch.randn(7, 2, generator=G),
        "head": head,
        "tied": head,
        "places": torch.randn(4, 2, generator=G),
    }
    state["table"][-1], state["places"][-1] = 0, 0
    return state | {f"block.{i}.shift": torch.randn(1, 3, 2, generator=G) for i in range(11)}


MOVES: dict[str, Move] = {
    "cut": Cut("table", (("tokens", "head"), ("query", 1), ("classes", None), ("", 1))),
    "stack": Stack("block.{}.shift", "shifts", (1, 3, 2)),
    "twice": Twice("head", "tied"),
    "unused": Unused("places"),
}


@pytest.mark.parametrize("name", MOVES)
def test_there_and_back(name: str) -> None:
    theirs = official()
    state = dict(theirs)
    MOVES[name].inward(state)
    assert name == "unused" or state.keys() != theirs.keys()
    MOVES[name].outward(state)
    assert state.keys() == theirs.keys()
    assert all(torch.equal(state[key], value) for key, value in theirs.items())


def test_what_they_make() -> None:
    theirs = official()
    state = dict(theirs)
    for move in MOVES.values():
        move.inward(state)
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        "tokens": (3, 2),
        "query": (1, 2),
        "classes": (2, 2),
        "shifts": (11, 6),
        "head": (3, 2),
        "places": (4, 2),
    }
    assert torch.equal(state["classes"], theirs["table"][4:6])
    assert torch.equal(state["shifts"][10], theirs["block.10.shift"].flatten())


@pytest.mark.parametrize("name", MOVES)
def test_what_is_absent_is_left_alone(name: str) -> None:
    """So that whoever loads reports it."""
    for state in ({}, {"table": torch.zeros(7, 2)}, {"tokens": torch.zeros(3, 2)}):
        before = dict(state)
        MOVES[name].inward(state)
        MOVES[name].outward(state)
        assert state == before
