"""Timing side by side: rounds in which every contestant runs once, in an order that turns from round to round."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from tqdm import tqdm

median = statistics.median


def alternate(
    contestants: Mapping[str, Callable[[], float]], rounds: int, about: str = "", budget: float = math.inf
) -> dict[str, list[float]]:
    """The seconds that each contestant says it took, in every round. The callers have warmed them up.

    Neighbours in time see the same machine, so a ratio of one round is worth more than one of two medians. No round begins after the
    first where another as long as the longest would exceed a `budget` of seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    start = time.perf_counter()
    longest = 0.0
    for index in tqdm(range(rounds), desc=about, unit="round", disable=None, leave=False):
        began = time.perf_counter()
        if index and began - start + longest > budget:
            break
        for name in list(contestants)[:: -1 if index % 2 else 1]:
            seconds[name].append(contestants[name]())
        longest = max(longest, time.perf_counter() - began)
    return seconds


def timed(run: Callable[[], object]) -> Callable[[], float]:
    """A contestant: the seconds that `run` takes on the CPU."""

    def contestant() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return contestant


def times_faster(ours: Sequence[float], plain: Sequence[float]) -> tuple[float, float, float]:
    """How many times faster ours is: (median, lowest, highest) of plain / ours over the rounds."""
    ratios = [p / o for o, p in zip(ours, plain, strict=True)]
    return median(ratios), min(ratios), max(ratios)
