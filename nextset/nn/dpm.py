"""The linear noise schedule of DDPM (Ho et al. 2020), and DPM-Solver++ 2M on it (Lu et al. 2022, arXiv 2211.01095).

    x_k = a_k x + s_k noise,   a_k^2 = prod over i <= k of (1 - b_i),   s_k^2 = 1 - a_k^2,   b from 1e-4 to 0.02 over k = 0 .. 999

The solver goes from step k to k' by what the noise predicted at k says of the data, D = (x_k - s_k noise) / a_k; with l = ln(a / s),
h = l' - l and r = (l - l_before) / h:

    x' = (s' / s) x - a' (e^-h - 1) (D + (D - D_before) / (2 r))

The first step has no D_before; the last goes to s = 0 and gives D itself.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

from torch import Tensor

STEPS, FIRST, LAST = 1000, 1e-4, 0.02


@functools.cache
def signal() -> tuple[float, ...]:
    """a_k for every k."""
    betas = (FIRST + (LAST - FIRST) * k / (STEPS - 1) for k in range(STEPS))
    squares = itertools.accumulate((1 - beta for beta in betas), lambda a, b: a * b)
    return tuple(math.sqrt(square) for square in squares)


def visited(steps: int) -> list[int]:
    """The k at which `steps` evaluations are made, falling: multiples of floor(1000 / (steps + 1)), 0 excluded."""
    stride = STEPS // (steps + 1)
    return [stride * i for i in range(steps, 0, -1)]


def solve(predict: Callable[[Tensor, int], Tensor], start: Tensor, steps: int) -> Tensor:
    """Data from normal numbers `start`; `predict(x, k)` says which noise is in x."""
    ks = visited(steps)
    x, before, rise = start, None, 0.0
    for index, k in enumerate(ks):
        a = signal()[k]
        s = math.sqrt(1 - a * a)
        data = (x - s * predict(x, k)) / a
        if index == len(ks) - 1:
            return data
        a_after = signal()[ks[index + 1]]
        s_after = math.sqrt(1 - a_after * a_after)
        h = math.log(a_after / s_after) - math.log(a / s)
        ahead = data if before is None else data + (data - before) * (h / (2 * rise))
        x = (s_after / s) * x - a_after * math.expm1(-h) * ahead
        before, rise = data, h
    return x
