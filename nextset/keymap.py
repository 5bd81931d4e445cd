"""Key maps: state dicts of another project under our names, and back.

A `Rule` says how one tensor of ours is made of theirs; a `Move` changes their dict where that is not enough: tensors that are cut into
several of ours, stored twice, or that nobody needs. Keys that are absent are left alone; what then misses is reported by whoever loads.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from .errors import UsageError

State = dict[str, Tensor]


class Keys(Protocol):
    """A map between another layout and ours."""

    def to_ours(self, state: Mapping[str, Tensor], /) -> State:
        """Ours; keys that are not understood keep their names, to be reported."""

    def to_theirs(self, state: Mapping[str, Tensor], /) -> State:
        """Theirs."""


@dataclass(frozen=True)
class Within:
    """Names of a module that is a part of ours, under `prefix`, and the whole of theirs."""

    keys: Keys
    prefix: str

    def to_ours(self, state: Mapping[str, Tensor]) -> State:
        """With the prefix."""
        return {self.prefix + key: value for key, value in self.keys.to_ours(state).items()}

    def to_theirs(self, state: Mapping[str, Tensor]) -> State:
        """Without it."""
        return self.keys.to_theirs({key.removeprefix(self.prefix): value for key, value in state.items()})


@dataclass(frozen=True)
class KeyMap:
    """Names of another layout for ours: `{ours: theirs}`, where `{}` stands for one number and `*` for the rest of a name.

    Several of theirs under one of ours are joined along the first axis, in equal parts; a `Rule` says what else may differ. `moves`
    change their layout before it is renamed, and after the way back, in the opposite order.
    """

    names: Mapping[str, str | tuple[str, ...] | Rule]
    moves: tuple[Move, ...] = ()

    def to_ours(self, state: Mapping[str, Tensor]) -> State:
        """Renames a state dict of the other layout. Keys that no rule names are kept under their own name, to be reported."""
        left = dict(state)
        for move in self.moves:
            move.inward(left)
        ours: State = {}
        for mine, rule in self._rules():
            for group in _groups(rule, left):
                keys = [filled(part, found) for found in group for part in rule.theirs]
                if all(key in left for key in keys):
                    ours[filled(mine, group[0])] = rule.join([left.pop(key) for key in keys])
        return ours | left

    def to_theirs(self, state: Mapping[str, Tensor]) -> State:
        """The way back. Raises UsageError for a key without a rule."""
        theirs: State = {}
        left = dict(state)
        for mine, rule in self._rules():
            for found in matches(mine, left):
                pieces = rule.cut(left.pop(filled(mine, found)))
                if rule.stacks:
                    keys = [rule.theirs[0].format(row) for row in range(len(pieces))]
                else:
                    keys = [filled(part, found) for part in rule.theirs]
                theirs |= dict(zip(keys, pieces, strict=True))
        for move in self.moves:
            theirs |= move.carried(left)
        if left:
            few = ", ".join(sorted(left)[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
            raise UsageError(f"no name in the other layout for {few}")
        for move in reversed(self.moves):
            move.outward(theirs)
        return theirs

    def _rules(self) -> Iterator[tuple[str, Rule]]:
        for mine, rule in self.names.items():
            yield mine, rule if isinstance(rule, Rule) else Joined((rule,) if isinstance(rule, str) else rule)


def _groups(rule: Rule, state: Mapping[str, Tensor]) -> list[list[tuple[str, ...]]]:
    """The fillings of a rule's templates, together where all make one tensor."""
    found = matches(rule.theirs[0], state)
    if rule.stacks:
        return [sorted(found, key=lambda parts: [int(n) for n in parts])] if found else []
    return [[parts] for parts in found]


def matches(template: str, keys: Iterable[str]) -> list[tuple[str, ...]]:
    """What stands for `{}` and `*` in those keys that fit a template."""
    pattern = re.compile(re.escape(template).replace(r"\{\}", r"(\d+)").replace(r"\*", r"([\w.]+)"))
    return [match.groups() for match in map(pattern.fullmatch, keys) if match]


def filled(template: str, parts: tuple[str, ...]) -> str:
    """A template with these in the places of `{}` and `*`, of which it may have fewer."""
    return template.replace("*", "{}").format(*parts)


# -- rules


class Rule(ABC):
    """How one tensor of ours is made of theirs, and back."""

    theirs: tuple[str, ...]
    stacks: bool = False  # whether theirs with all numbers go into one of ours

    @abstractmethod
    def join(self, pieces: list[Tensor]) -> Tensor:
        """Ours of theirs."""

    @abstractmethod
    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """Theirs of ours."""


@dataclass(frozen=True)
class OfOne(Rule):
    """A rule for a single one of theirs."""

    name: str

    @property
    def theirs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The name."""
        return (self.name,)


@dataclass(frozen=True)
class Joined(Rule):
    """One of theirs as it is, or several along `axis`: of `rows` each, where that is given (0: an equal share of the rest)."""

    theirs: tuple[str, ...]
    axis: int = 0
    rows: tuple[int, ...] = ()

    def join(self, pieces: list[Tensor]) -> Tensor:
        """One after another; a single row may lack the axis."""
        if len(pieces) == 1:
            return pieces[0]
        most = max(piece.ndim for piece in pieces)
        return torch.cat([piece if piece.ndim == most else piece[None] for piece in pieces], self.axis)

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """Parts."""
        if len(self.theirs) == 1:
            return (whole,)
        rows = self.rows or (0,) * len(self.theirs)
        share = (whole.shape[self.axis] - sum(rows)) // max(rows.count(0), 1)
        return whole.split([count or share for count in rows], self.axis)


@dataclass(frozen=True)
class Permuted(OfOne):
    """Part i along the first axis of ours is part order[i] of theirs."""

    order: tuple[int, ...]

    def join(self, pieces: list[Tensor]) -> Tensor:
        """In our order."""
        parts = pieces[0].chunk(len(self.order))
        return torch.cat([parts[i] for i in self.order])

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """In theirs."""
        parts = whole.chunk(len(self.order))
        return (torch.cat([parts[self.order.index(i)] for i in range(len(parts))]),)


@dataclass(frozen=True)
class Squeezed(OfOne):
    """One of theirs has axes of size 1 that ours lacks."""

    axes: tuple[int, ...] = (0,)

    def join(self, pieces: list[Tensor]) -> Tensor:
        """Without these axes; as it is where it has no such, to be reported."""
        (piece,) = pieces
        fits = all(axis < piece.ndim and piece.shape[axis] == 1 for axis in self.axes)
        return piece.squeeze(self.axes) if fits else piece

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """With them."""
        for axis in sorted(self.axes):
            whole = whole.unsqueeze(axis)
        return (whole,)


@dataclass(frozen=True)
class Stacked(OfOne):
    """Row n of ours is the one of theirs with number n, flat. `shape` is theirs; `order` as in `Permuted`, of each."""

    shape: tuple[int, ...] = (-1,)
    order: tuple[int, ...] = (0,)
    stacks = True

    def join(self, pieces: list[Tensor]) -> Tensor:
        """(count, size)."""
        return torch.stack([Permuted(self.name, self.order).join([piece.flatten()]) for piece in pieces])

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """One a row."""
        return [Permuted(self.name, self.order).cut(row)[0].view(self.shape) for row in whole]


@dataclass(frozen=True)
class Padded(Rule):
    """Theirs are copies of one tensor with `rows` more rows at the end, which nothing reads; back they are zeros."""

    theirs: tuple[str, ...]
    rows: int = 1

    def join(self, pieces: list[Tensor]) -> Tensor:
        """The first copy, without these rows."""
        return pieces[0][: len(pieces[0]) - self.rows]

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """Copies with rows of zeros."""
        return [torch.cat([whole, whole.new_zeros(self.rows, *whole.shape[1:])]) for _ in self.theirs]


@dataclass(frozen=True)
class Rearranged(OfOne):
    """One of theirs whose values lie otherwise; `back` undoes `make`."""

    make: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]

    def join(self, pieces: list[Tensor]) -> Tensor:
        """As ours lie."""
        return self.make(pieces[0])

    def cut(self, whole: Tensor) -> Sequence[Tensor]:
        """As theirs lie."""
        return (self.back(whole),)


# -- moves


class Move:
    """A change of their layout, in place, and its inverse."""

    def inward(self, state: State) -> None:
        """From theirs towards ours."""

    def outward(self, state: State) -> None:
        """Back."""

    def carried(self, ours: State) -> State:
        """Takes what it knows under our names out of those that no rule renamed, and gives back what of it travels on."""
        return {}


@dataclass(frozen=True)
class Cut(Move):
    """Rows of `key` (along `axis`) are several tensors, in order: (name, rows) each.

    Names are theirs, to be renamed, or ours. Rows are a number (0: one row, a vector), the name of another of theirs with as many, or None
    for all the rest (once). Without a name rows are unused: they are dropped inward, and zeros outward, where their number must be
    given.
    """

    key: str
    parts: tuple[tuple[str, int | str | None], ...]
    axis: int = 0

    def inward(self, state: State) -> None:
        """One to several; left as it is where the rows do not suffice, to be reported."""
        if self.key not in state or any(isinstance(rows, str) and rows not in state for _, rows in self.parts):
            return
        known = [len(state[rows]) if isinstance(rows, str) else rows for _, rows in self.parts]
        counts = [None if rows is None else max(rows, 1) for rows in known]
        rest = state[self.key].shape[self.axis] - sum(count for count in counts if count is not None)
        if rest < 0 or (rest > 0 and None not in counts):
            return
        pieces = state.pop(self.key).split([rest if count is None else count for count in counts], self.axis)
        for (name, rows), piece in zip(self.parts, pieces, strict=True):
            if name:
                state[name] = piece.squeeze(self.axis) if rows == 0 else piece

    def carried(self, ours: State) -> State:
        """Its parts."""
        return {name: ours.pop(name) for name, _ in self.parts if name in ours}

    def outward(self, state: State) -> None:
        """Several to one."""
        names = [name for name, _ in self.parts if name]
        if all(name in state for name in names):
            like = next(state[name] for name, rows in self.parts if name and rows != 0)
            pieces = [self._piece(name, rows, state, like) for name, rows in self.parts]
            state[self.key] = torch.cat(pieces, self.axis)

    def _piece(self, name: str, rows: int | str | None, state: State, like: Tensor) -> Tensor:
        if name:
            piece = state.pop(name)
            return piece.unsqueeze(self.axis) if rows == 0 else piece
        assert isinstance(rows, int), "unused rows are counted in numbers"
        shape = list(like.shape)
        shape[self.axis] = rows
        return like.new_zeros(shape)


@dataclass(frozen=True)
class Twice(Move):
    """`copy` is stored beside `key`, whose values it has: a tied matrix."""

    key: str
    copy: str

    def inward(self, state: State) -> None:
        """Dropped."""
        for found in matches(self.key, list(state)):
            state.pop(filled(self.copy, found), None)

    def outward(self, state: State) -> None:
        """Stored again."""
        for found in matches(self.key, list(state)):
            state[filled(self.copy, found)] = state[filled(self.key, found)]


@dataclass(frozen=True)
class Unused(Move):
    """The last `rows` of `key` take part in nothing there, but would here: they are zeros after either way."""

    key: str
    rows: int = 1

    def inward(self, state: State) -> None:
        """Zeros."""
        if self.key in state:
            used = state[self.key][: -self.rows]
            state[self.key] = torch.cat([used, torch.zeros_like(state[self.key][-self.rows :])])

    def outward(self, state: State) -> None:
        """Zeros."""
        self.inward(state)


@dataclass(frozen=True)
class Made(Move):
    """Theirs that say nothing (masks, tables that follow from the sizes): dropped, and back what `make` makes of their `source`.

    Without a source they are not written back.
    """

    key: str
    source: str = ""
    make: Callable[[Tensor], Tensor] = field(default=torch.zeros_like)

    def inward(self, state: State) -> None:
        """Dropped."""
        for found in matches(self.key, list(state)):
            state.pop(filled(self.key, found))

    def outward(self, state: State) -> None:
        """Made."""
        for found in matches(self.source, list(state)) if self.source else ():
            state[filled(self.key, found)] = self.make(state[filled(self.source, found)])


@dataclass(frozen=True)
class Fresh(Move):
    """Ours that theirs have not, such as statistics: `make` makes them of their `source`, and they do not travel back."""

    key: str
    source: str
    make: Callable[[Tensor], Tensor]

    def inward(self, state: State) -> None:
        """Made, under our name."""
        for found in matches(self.source, list(state)):
            state[filled(self.key, found)] = self.make(state[filled(self.source, found)])

    def carried(self, ours: State) -> State:
        """Dropped."""
        for found in matches(self.key, list(ours)):
            ours.pop(filled(self.key, found))
        return {}
