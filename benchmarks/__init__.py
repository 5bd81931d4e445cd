"""Benchmarks: ours beside what one would write without us, in one process, in rounds that alternate, and the machine's limit.

A module named in NAMES yields `Row`s from `rows(machine, quick)`. `python -m benchmarks [NAME ...]` runs them. Contestants have the same
weights and must first agree on what they compute. Nothing is written.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nextset.errors import UsageError, nearest

from .machine import Limit, Machine
from .rounds import median, times_faster

NAMES = ("sampling", "training")
MILLISECONDS, PER_SECOND = "ms/token", "tokens/s"


@dataclass(frozen=True)
class Row:
    """One comparison: medians over the rounds in `unit`, and the limit in the same unit.

    `ratio` says how many times as fast as plain ours is, the median over the rounds, which lie between `lowest` and `highest`;
    `distance` how many times slower than the limit ours is; `bound` what the limit is of.
    """

    benchmark: str
    case: str
    unit: str
    ours: float
    plain: float
    ratio: float
    lowest: float
    highest: float
    limit: float
    bound: str
    distance: float

    @staticmethod
    def of(what: tuple[str, str, str], tokens: int, seconds: Mapping[str, Sequence[float]], limit: Limit) -> Row:
        """From the `seconds` per round of "ours" and "plain", each of `tokens` tokens; `what` is benchmark, case and unit."""
        ours, plain = median(seconds["ours"]), median(seconds["plain"])
        ratio, lowest, highest = times_faster(seconds["ours"], seconds["plain"])
        shown = [1e3 * s / tokens if what[2] == MILLISECONDS else tokens / s for s in (ours, plain, limit.seconds)]
        distance = ours / limit.seconds
        return Row(*what, shown[0], shown[1], ratio, lowest, highest, shown[2], limit.bound, distance)


def check(wanted: Sequence[str]) -> None:
    """Raises UsageError for a name that no benchmark has."""
    for name in wanted:
        if name not in NAMES:
            raise UsageError(f"there is no benchmark {name!r}{nearest(name, NAMES)}")


def rows(name: str, machine: Machine, quick: bool) -> Iterator[Row]:
    """Runs one benchmark. Raises NextsetError where the contestants do not compute the same."""
    yield from importlib.import_module(f"{__name__}.{name}").rows(machine, quick)
