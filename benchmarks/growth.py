"""Time and memory of one picture against its number of sites, for attention, Mamba and scales: how ours grows, without an opponent.

Networks of one width and depth draw pictures of 64 to 4,096 sites, unguided. The last row of each kind fits exponents to
figure ~ sites^e by least squares of logarithms. Memory is what the process holds at its highest more than before, beside the bytes
of the cache. The limit is reading all weights and what there is of the cache in every step, or the products.
"""

from __future__ import annotations

import collections
import ctypes
import functools
import gc
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nextset import Model, Pick, System, spec
from nextset.account import account, caching
from nextset.backbones import Llama
from nextset.heads import Categorical
from nextset.mixers import EXACT, Attention, Mamba2
from nextset.systems.var import var
from nextset.tokenizers.multiscale import MultiScaleVQ
from nextset.tokenizers.pixel import Pixel

from . import MILLISECONDS, Case, Row
from .machine import Machine
from .rounds import timed
from .variants import weight_bytes

SIDES = (8, 16, 32, 64)
WIDTH, DEPTH = 256, 4
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Point:
    """What a picture of so many sites took: seconds, bytes of the cache, and of all at the highest (0 where it cannot be told)."""

    sites: int
    seconds: float
    cache: int
    peak: int


def kinds() -> dict[str, list[System]]:
    """The same body over more and more sites."""
    base = replace(spec("llamagen/digits"), tokenizer=Pixel(256), head=Categorical(std=0.02))
    squares = [(side, side) for side in SIDES]
    attention, mamba = (Llama(WIDTH, DEPTH, mixer, dropout=0.0) for mixer in (Attention(4), Mamba2(64)))
    return {
        "attention": [replace(base, backbone=attention, size=size) for size in squares],
        "Mamba": [replace(base, backbone=mamba, size=size) for size in squares],
        "scales": [_pyramid(side) for side in SIDES],
    }


def _pyramid(side: int) -> System:
    """A scale of each power of two up to `side`."""
    sides = tuple(1 << k for k in range(side.bit_length()))
    return var(DEPTH, MultiScaleVQ(256, 8, sides, 16, (1,), blocks=1, groups=2, channels=1, phis=2), 10, WIDTH // DEPTH)


def rows(machine: Machine, quick: bool, only: str = "") -> Iterator[Row]:
    """Each kind from few sites to many, and the fit."""
    for kind, systems in kinds().items():
        if only in kind:
            yield from _grown(kind, systems[:2] if quick else systems, machine)


def _grown(kind: str, systems: Sequence[System], machine: Machine) -> Iterator[Row]:
    points: list[Point] = []
    for system in systems:
        torch.manual_seed(0)
        model = system.build().eval().for_inference()
        costs = account(system)

        draw = functools.partial(_draw, model)
        draw(2)
        before = highest()
        seconds = [timed(draw)()]
        point = Point(costs.sites, seconds[0], costs.cache_bytes_float32, highest(clear=False) - before)
        points.append(point)
        read = costs.steps * weight_bytes(model.network.backbone, model.network.head)
        read += sum(caching(system, EXACT, torch.float32).reads)
        note = f"cache {point.cache / 1e6:.2f} MB, peak {point.peak / 1e6:.1f} MB more"
        note += f"; {fitted(points)}" if system is systems[-1] else ""
        case = Case("growth", f"{kind}, {costs.sites} sites", MILLISECONDS, note=note)
        yield Row.of(case, costs.sites, seconds, None, machine.limit(read, costs.multiply_adds))


def _draw(model: Model, steps: int | None = None) -> None:
    stream = model.stream(None, count=1, guidance=1.0, pick=Pick(temperature=0))
    collections.deque(itertools.islice(stream, steps), maxlen=0)


def highest(clear: bool = True) -> int:
    """The most bytes that this process has held since the last clearing; `clear` starts anew from what it needs now. Linux alone."""
    if not CLEAR.exists():
        return 0
    if clear:
        _give_back()
        CLEAR.write_text("5")
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _give_back() -> None:
    """Hands freed memory to the system: what the C library keeps for later would hide how much is asked for anew."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def fitted(points: Sequence[Point]) -> str:
    """The exponents in words, and how much dearer a token is at the most sites than at fewer, but for the fewest."""
    times = {p.sites: p.seconds / p.sites for p in points}
    exponents = {
        "time": exponent([(p.sites, p.seconds) for p in points]),
        "time a token": exponent(list(times.items())),
        "cache": exponent([(p.sites, p.cache) for p in points]),
    }
    *earlier, last = points
    said = ", ".join(f"{name} {value:.2f}" for name, value in exponents.items())
    dearer = [
        f"{times[last.sites] / times[point.sites]:.2f} of one at {point.sites}" for point in earlier[1:] or earlier
    ]
    return f"exponents: {said}; a token at {last.sites} sites takes {', '.join(dearer)}"


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """e of y ~ x^e through (x, y) by least squares of logarithms; 0 where y is."""
    if not all(y > 0 for _, y in points):
        return 0.0
    xs, ys = ([math.log(value) for value in column] for column in zip(*points, strict=True))
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return rise / sum((x - mean_x) ** 2 for x in xs)
