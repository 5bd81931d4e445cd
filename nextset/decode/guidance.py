"""Classifier-free guidance: one definition, u + s (c - u), with s = 1 unguided, and schedules of s over the steps.

Repositories differ: some write (1 + t) c - t u, which is s = 1 + t here (VAR; `from_extra`).
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..errors import UsageError
from ..spec import Spec


@dataclass(frozen=True)
class Guidance(Spec, ABC):
    """A schedule of guidance scales."""

    @abstractmethod
    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """The scale of `step` (0-based) of `steps`, with `done` of `sites` known before it and `size` in it."""

    @property
    def inside(self) -> int | None:
        """The block, counted from the end (-1: the last), after which hidden vectors are guided; None: distributions are, at the end."""
        return None

    def scales(self, sizes: tuple[int, ...]) -> tuple[float, ...]:
        """The scale of every step of a plan with these step sizes."""
        done = itertools.accumulate((0, *sizes[:-1]))
        return tuple(self.at(k, len(sizes), d, sum(sizes), sizes[k]) for k, d in enumerate(done))


@dataclass(frozen=True)
class Constant(Guidance):
    """The same scale at every step."""

    scale: float = 1.0

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """`scale`."""
        return self.scale


@dataclass(frozen=True)
class Inside(Guidance):
    """The same scale at every step, on the hidden vectors after block `block` from the end (Infinity's cfg_insertion_layer).

    Both halves go on from the guided vectors, each with its own condition, and the conditional one is drawn from.
    """

    scale: float = 1.0
    block: int = -2

    def __post_init__(self) -> None:
        if self.block > -1:
            raise UsageError(f"{self}: block counts from the end, so it must be -1 or less")

    @property
    def inside(self) -> int:
        """`block`."""
        return self.block

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """`scale`."""
        return self.scale


@dataclass(frozen=True)
class Linear(Guidance):
    """From `start` at the first step to `scale` at the last."""

    scale: float
    start: float = 1.0

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """Linear in the step."""
        return self.start + (self.scale - self.start) * step / max(steps - 1, 1)


@dataclass(frozen=True)
class Ramp(Guidance):
    """From `start` towards `scale`, which one more step would reach (Muse, arXiv 2301.00704; TiTok, arXiv 2406.07550)."""

    scale: float
    start: float = 1.0

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """Linear in the steps done."""
        return self.start + (self.scale - self.start) * step / steps


@dataclass(frozen=True)
class Clipped(Guidance):
    """As `Linear`, but over `steps` steps at most, and `scale` in steps of more than `largest` sites (FlexVAR, arXiv 2502.20313).

    A longer plan goes on rising above `scale` while its steps are small enough.
    """

    scale: float
    start: float = 1.0
    steps: int = 10
    largest: int = 256

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """Linear in the step, or `scale`."""
        share = step / max(min(steps, self.steps) - 1, 1)
        return self.start + (self.scale - self.start) * share if size <= self.largest else self.scale


@dataclass(frozen=True)
class Proportional(Guidance):
    """From `start`, growing to `scale` with the share of known sites (RandAR, arXiv 2412.01827).

    With `after`, the sites of the step itself count as known (MAR, ARPG), but never the last `left` ones (MAR: 1).
    """

    scale: float
    start: float = 1.0
    after: bool = False
    left: int = 0

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """Linear in the known sites."""
        known = min(done + size * self.after, sites - self.left)
        return self.start + (self.scale - self.start) * known / sites


@dataclass(frozen=True)
class PowerCosine(Guidance):
    """1 + (scale - 1) (1 - cos(pi (done / sites)^power)) / 2 (RAR, arXiv 2411.00776): weak at first, full at the end."""

    scale: float
    power: float = 1.0

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """Rises with the share of known sites."""
        return 1 + (self.scale - 1) * (1 - math.cos(math.pi * (done / sites) ** self.power)) / 2


@dataclass(frozen=True)
class CosineRamp(Guidance):
    """1 + (scale - 1) (1 - cos(pi (step / steps)^power)) / 2 (MDT, arXiv 2303.14389): `PowerCosine` of steps in place of sites."""

    scale: float
    power: float = 1.0

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """Rises with the steps done."""
        return 1 + (self.scale - 1) * (1 - math.cos(math.pi * (step / steps) ** self.power)) / 2


@dataclass(frozen=True)
class Interval(Guidance):
    """`scale` while `start` <= known sites < `stop`, unguided outside (Kynkaanniemi et al. 2024; LlamaGen's cfg_interval n is stop = n + 2)."""

    scale: float
    start: int = 0
    stop: int = 1 << 30

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """`scale` inside, 1 outside."""
        return self.scale if self.start <= done < self.stop else 1.0


def from_extra(extra: float) -> float:
    """The scale of a repository that writes (1 + t) c - t u, from its t."""
    return 1.0 + extra


SCHEDULES = {
    "constant": Constant,
    "linear": Linear,
    "proportional": Proportional,
    "power-cosine": PowerCosine,
    "ramp": Ramp,
    "cosine-ramp": CosineRamp,
}


def guidance(scale: float | Guidance, schedule: str = "constant") -> Guidance:
    """A schedule by name, or the one given. Raises UsageError for a scale that is not finite."""
    if isinstance(scale, Guidance):
        return scale
    if schedule not in SCHEDULES:
        raise UsageError(f"guidance schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    if not math.isfinite(scale):
        raise UsageError(f"guidance must be a finite number, got {scale}")
    return SCHEDULES[schedule](float(scale))
