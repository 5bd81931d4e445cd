"""Benchmarks: ours beside what one would write or use without us, in one process, in rounds that alternate, and the machine's limit.

A module named in NAMES yields `Row`s from `rows(machine, quick, only)`. `python -m benchmarks [NAME ...]` runs them; NAME:PART runs
the cases whose name has PART in it. Contestants have the same weights and must first agree on what they compute. Nothing is written.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nextset.errors import UsageError, nearest

from .machine import Limit, Machine
from .rounds import median, times_faster

NAMES = ("sampling", "pixels", "continuous", "training", "growth", "shapes")
MILLISECONDS, PER_SECOND = "ms/token", "tokens/s"
IMAGE = "ms/image"


@dataclass(frozen=True)
class Row:
    """One comparison: medians over the rounds in `unit`, and the limit in the same unit.

    `variant` says what ours is, `against` what the other is. `ratio` says how many times as fast as the other ours is, the median
    over the rounds, which lie between `lowest` and `highest`; `distance` how many times slower than the limit ours is; `bound`
    what the limit is of. Where there is no other, its figure and the ratios are None. `note` is what else was found.
    """

    benchmark: str
    case: str
    variant: str
    against: str
    unit: str
    ours: float
    other: float | None
    ratio: float | None
    lowest: float | None
    highest: float | None
    limit: float
    bound: str
    distance: float
    note: str = ""

    @staticmethod
    def of(what: Case, tokens: int, ours: Sequence[float], other: Sequence[float] | None, limit: Limit) -> Row:
        """From the seconds per round of ours and of the other, each of `tokens` tokens."""
        ratio, lowest, highest = times_faster(ours, other) if other else (None, None, None)
        figures = (median(ours), median(other) if other else None, limit.seconds)
        shown, against, least = (None if s is None else what.figure(s, tokens) for s in figures)
        assert shown is not None
        assert least is not None
        rival = what.against if other else ""
        return Row(
            what.benchmark,
            what.case,
            what.variant,
            rival,
            what.unit,
            shown,
            against,
            ratio,
            lowest,
            highest,
            least,
            limit.bound,
            median(ours) / limit.seconds,
            what.note,
        )


@dataclass(frozen=True)
class Case:
    """What a row is about; its fields are those of `Row`."""

    benchmark: str
    case: str
    unit: str
    variant: str = "float32"
    against: str = "plain"
    note: str = ""

    def figure(self, seconds: float, tokens: int) -> float:
        """Seconds for so many tokens, in the unit."""
        return tokens / seconds if self.unit == PER_SECOND else 1e3 * seconds / tokens


def check(wanted: Sequence[str]) -> None:
    """Raises UsageError for a name that no benchmark has."""
    for name in (word.partition(":")[0] for word in wanted):
        if name not in NAMES:
            raise UsageError(f"there is no benchmark {name!r}{nearest(name, NAMES)}")


def rows(word: str, machine: Machine, quick: bool) -> Iterator[Row]:
    """Runs one benchmark, or a part of it. Raises NextsetError where the contestants do not compute the same."""
    name, _, only = word.partition(":")
    yield from importlib.import_module(f"{__name__}.{name}").rows(machine, quick, only)
