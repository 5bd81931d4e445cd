"""What is more than a name when a state dict moves between layouts: tensors that are cut, stacked, stored twice, or hold unused rows.

A `Move` changes a dict in the other layout, in place: `inward` before its keys are renamed to ours, `outward`, the way back, after
ours were renamed to it. Keys that are absent are left alone; what then misses is reported by whoever loads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

State = dict[str, Tensor]


class Move(Protocol):
    """A change of layout and its inverse."""

    def inward(self, state: State) -> None:
        """From theirs towards ours."""

    def outward(self, state: State) -> None:
        """Back."""


def numbers(template: str, keys: Iterable[str]) -> list[tuple[str, ...]]:
    """The numbers that stand for `{}` in those keys that fit a template."""
    pattern = re.compile(re.escape(template).replace(r"\{\}", r"(\d+)"))
    return [match.groups() for match in map(pattern.fullmatch, keys) if match]


@dataclass(frozen=True)
class Cut:
    """Rows of `key` are several tensors, in order: (name, rows) each.

    Rows are a number, the name of a tensor with as many, or None for all the rest (once). Without a name rows are unused: they are
    dropped inward, and zeros outward, where their number must be given.
    """

    key: str
    parts: tuple[tuple[str, int | str | None], ...]

    def inward(self, state: State) -> None:
        """One to several."""
        if self.key not in state or any(isinstance(rows, str) and rows not in state for _, rows in self.parts):
            return
        whole = state.pop(self.key)
        known = [len(state[rows]) if isinstance(rows, str) else rows for _, rows in self.parts]
        rest = len(whole) - sum(rows for rows in known if rows is not None)
        pieces = whole.split([rest if rows is None else rows for rows in known])
        state.update({name: piece for (name, _), piece in zip(self.parts, pieces, strict=True) if name})

    def outward(self, state: State) -> None:
        """Several to one."""
        names = [name for name, _ in self.parts if name]
        if all(name in state for name in names):
            like = state[names[0]]
            pieces = [state.pop(name) if name else _rows(rows, like) for name, rows in self.parts]
            state[self.key] = torch.cat(pieces)


@dataclass(frozen=True)
class Stack:
    """The tensors `keys` (`{}` a number), flattened, are the rows of `whole`; `shape` is that of each in their layout."""

    keys: str
    whole: str
    shape: tuple[int, ...]

    def inward(self, state: State) -> None:
        """Several to one."""
        found = sorted(numbers(self.keys, state), key=lambda n: int(n[0]))
        if found:
            state[self.whole] = torch.stack([state.pop(self.keys.format(*n)).flatten() for n in found])

    def outward(self, state: State) -> None:
        """One to several."""
        if self.whole in state:
            for index, row in enumerate(state.pop(self.whole)):
                state[self.keys.format(index)] = row.view(self.shape)


@dataclass(frozen=True)
class Twice:
    """`copy` is stored beside `key`, whose values it has: a tied matrix."""

    key: str
    copy: str

    def inward(self, state: State) -> None:
        """Dropped."""
        state.pop(self.copy, None)

    def outward(self, state: State) -> None:
        """Stored again."""
        if self.key in state:
            state[self.copy] = state[self.key]


@dataclass(frozen=True)
class Unused:
    """The last `rows` of `key` take part in nothing there, but would here: they are zeros after either way."""

    key: str
    rows: int = 1

    def inward(self, state: State) -> None:
        """Zeros."""
        if self.key in state:
            state[self.key] = torch.cat(
                [state[self.key][: -self.rows], torch.zeros_like(state[self.key][-self.rows :])]
            )

    def outward(self, state: State) -> None:
        """Zeros."""
        self.inward(state)


def _rows(count: int | str | None, like: Tensor) -> Tensor:
    assert isinstance(count, int), "unused rows are counted in numbers"
    return like.new_zeros(count, *like.shape[1:])
