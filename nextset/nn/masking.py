"""Masking schedules: which share of the sites is still masked when part of the way is done.

The same curves cut the steps of MaskGIT (arXiv 2202.04200), say how much its training masks, and are the 1 - alpha of masked
diffusion (MD4, arXiv 2406.04329), whose time runs the other way: t = 1 - done.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..spec import Spec


@dataclass(frozen=True)
class Masking(Spec, ABC):
    """A curve that falls from 1, where everything is masked, to 0."""

    @abstractmethod
    def share(self, done: Tensor) -> Tensor:
        """The share of masked sites when `done` in [0, 1] of the way lies behind, same shape."""

    @abstractmethod
    def rate(self, done: Tensor) -> Tensor:
        """How fast it falls there, -d share / d done."""

    def at(self, done: float) -> float:
        """The share at one point, in double precision."""
        return float(self.share(torch.tensor(done, dtype=torch.float64, device="cpu")))

    def left(self, part: int, whole: int) -> float:
        """The share when `part` of `whole` steps are done, as samplers compute it: counts of sites follow from the last bit."""
        return self.at(part / whole)


@dataclass(frozen=True)
class Power(Masking):
    """(1 - done)^exponent: 1 is linear, as in ARDM and the plain form of MD4; MD4's polynomial schedules have 2 and more."""

    exponent: float = 1.0

    def __post_init__(self) -> None:
        if not self.exponent > 0:
            raise UsageError(f"{self}: exponent must be above 0")

    def share(self, done: Tensor) -> Tensor:
        """A power of what is left."""
        return (1 - done) ** self.exponent

    def rate(self, done: Tensor) -> Tensor:
        """Its derivative."""
        return self.exponent * (1 - done) ** (self.exponent - 1)


@dataclass(frozen=True)
class Cosine(Masking):
    """cos(pi/2 done): few sites at first, many at the end (MaskGIT's best, and MD4's)."""

    def left(self, part: int, whole: int) -> float:
        """The order of operations of MAR and ARPG: a half, at two thirds of the way, may come out just below or above."""
        return math.cos(math.pi / 2 * part / whole)

    def share(self, done: Tensor) -> Tensor:
        """A quarter of a wave."""
        return (done * (math.pi / 2)).cos()

    def rate(self, done: Tensor) -> Tensor:
        """Its derivative."""
        return (done * (math.pi / 2)).sin() * (math.pi / 2)


@dataclass(frozen=True)
class Arccos(Masking):
    """arccos(done) / (pi/2): nearly linear, and steep at the end (Muse, TiTok)."""

    def share(self, done: Tensor) -> Tensor:
        """The cosine's mirror image."""
        return done.arccos() / (math.pi * 0.5)

    def rate(self, done: Tensor) -> Tensor:
        """Its derivative, which has no bound at 1."""
        return 1 / ((math.pi * 0.5) * (1 - done.square()).sqrt())
