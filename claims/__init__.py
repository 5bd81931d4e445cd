"""Claims: each paper's central point as a small experiment that takes minutes on a CPU and can fail.

A module here is named after a system (or a part) and yields `Claim`s from `claims()`. `python -m claims [NAME ...]` runs them.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from nextset.errors import UsageError, nearest

FRAME = ("__main__",)  # modules of this folder that hold no claims


@dataclass(frozen=True)
class Claim:
    """What a paper says, the figure that was measured for it, what the figure must be, and whether it is.

    `note` says why a claim is known not to hold at this size: it is then reported as such, without being an error.
    """

    says: str
    figure: str
    must: str
    holds: bool
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """A claim that was tried: of which module, in how many seconds, and the error where it could not be."""

    name: str
    claim: Claim
    seconds: float

    @property
    def error(self) -> bool:
        """Whether a claim that should hold does not."""
        return not (self.claim.holds or self.claim.note)


def names() -> tuple[str, ...]:
    """Everything that has claims, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in FRAME))


def tried(wanted: tuple[str, ...]) -> Iterator[Verdict]:
    """Runs the claims of `wanted` (none: all). One that raises is a claim that does not hold; the others go on."""
    for name in wanted:
        if name not in names():
            raise UsageError(f"there are no claims {name!r}{nearest(name, names())}")
    for name in wanted or names():
        start = time.perf_counter()
        try:
            for claim in importlib.import_module(f"{__name__}.{name}").claims():
                yield Verdict(name, claim, time.perf_counter() - start)
                start = time.perf_counter()
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            yield Verdict(name, Claim("can be tried", said, "no error", holds=False), time.perf_counter() - start)
