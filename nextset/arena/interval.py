"""A figure over several seeds: the mean, and how far another seed may lie.

Of three or more values the interval is Student's 95% interval of the mean, m +- t(0.975, n - 1) s / sqrt(n); of two, whose t is 12.7,
it is the two values; of one there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

# t(0.975, f) for f = 2, 3, ... degrees of freedom
STUDENT = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120)
NORMAL = 1.95996


def student(freedom: int) -> float:
    """t(0.975, freedom), for at least 2 degrees of freedom, within 0.001."""
    if freedom - 2 < len(STUDENT):
        return STUDENT[freedom - 2]
    z = NORMAL  # the first terms of the expansion in 1 / freedom (Abramowitz and Stegun 26.7.5)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


@dataclass(frozen=True)
class Interval:
    """The mean of `count` values; low and high end as the head of this file says, the mean itself where there is one value."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def kind(self) -> str:
        """What low and high are, in words."""
        return {1: "one seed, no interval", 2: "smallest and largest of two seeds"}.get(
            self.count, "95% t-interval of the mean"
        )


def interval(values: Sequence[float]) -> Interval:
    """Of at least one value."""
    middle, count = mean(values), len(values)
    if count < 3:
        return Interval(middle, min(values), max(values), count)
    reach = student(count - 1) * stdev(values) / math.sqrt(count)
    return Interval(middle, middle - reach, middle + reach, count)
