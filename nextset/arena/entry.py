"""What came of a system in a contest: runs from several seeds, each with its figures or why it failed, and what they say together."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import save_json
from ..train.journal import read_log
from .interval import Interval, interval

RUN, PLAN, TIMES, MODEL = "run.json", "plan.json", "times.json", "model"
POINTS = 60  # of a curve at most


@dataclass(frozen=True)
class Run:
    """A system from one seed: `figures` by name, shares of right pictures by class, notes; or why it `failed`."""

    seed: int
    figures: dict[str, float | str] = field(default_factory=dict)
    classes: list[float | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: str = ""

    def save(self, folder: Path) -> None:
        """Writes the run, atomically."""
        save_json(folder / RUN, dataclasses.asdict(self))

    @classmethod
    def loaded(cls, folder: Path) -> Run:
        """What `save` wrote."""
        return cls(**json.loads((folder / RUN).read_text()))


@dataclass(frozen=True)
class Curve:
    """How a training went: (share of the budget done, loss) of training batches, means of neighbouring ones, and of held-out pictures."""

    training: list[tuple[float, float]]
    held_out: list[tuple[float, float]]


@dataclass(frozen=True)
class Entry:
    """A system: its runs, a curve for each, its times; or why it did not take part (`misfit`)."""

    name: str
    system: str
    runs: tuple[Run, ...] = ()
    curves: tuple[Curve, ...] = ()
    times: dict[str, float] = field(default_factory=dict)
    misfit: str = ""

    @property
    def finished(self) -> list[Run]:
        """The runs that did not fail."""
        return [run for run in self.runs if not run.failed]

    @property
    def failed(self) -> str:
        """What went wrong, "" where nothing did."""
        if self.misfit:
            return f"did not take part: {self.misfit}"
        seeds: dict[str, list[str]] = {}
        for run in self.runs:
            if run.failed:
                seeds.setdefault(run.failed, []).append(str(run.seed))
        return "; ".join(f"seed{'s' * (len(of) > 1)} {', '.join(of)} {why}" for why, of in seeds.items())

    def interval(self, name: str) -> Interval | None:
        """A figure over the finished runs; None where none has it. Times are measured once, whatever the seeds."""
        if name in self.times:
            return interval([self.times[name]])
        values = [run.figures[name] for run in self.finished if name in run.figures]
        numbers = [value for value in values if isinstance(value, int | float)]
        return interval(numbers) if numbers else None

    def word(self, name: str) -> str:
        """A figure in words, of the first finished run that has it."""
        return next((str(run.figures[name]) for run in self.finished if name in run.figures), "")

    @property
    def classes(self) -> list[float | None]:
        """Shares of right pictures by class, means over the runs."""
        columns = zip(*(run.classes for run in self.finished), strict=True)
        known = [[share for share in column if share is not None] for column in columns]
        return [sum(shares) / len(shares) if shares else None for shares in known]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, with the intervals of all figures."""
        names = dict.fromkeys([*self.times, *(name for run in self.finished for name in run.figures)])
        found = {name: self.interval(name) for name in names}
        intervals = {name: dataclasses.asdict(value) for name, value in found.items() if value}
        return dataclasses.asdict(self) | {"intervals": intervals}


def entry(name: str, system: str, folder: Path, seeds: Sequence[int]) -> Entry:
    """What lies in the entrant's `folder`, of those seeds that were run."""
    places = [folder / f"seed-{seed}" for seed in seeds]
    places = [place for place in places if (place / RUN).is_file()]
    runs = tuple(map(Run.loaded, places))
    times = json.loads((folder / TIMES).read_text()) if (folder / TIMES).is_file() else {}
    return Entry(name, system, runs, tuple(map(curve, places)), times)


def curve(folder: Path) -> Curve:
    """The learning curve of a run, as far as it came."""
    if not (folder / PLAN).is_file():
        return Curve([], [])
    steps, log = json.loads((folder / PLAN).read_text())["train_steps"], read_log(folder / MODEL)
    points = {
        name: [(line["step"] / steps, line[name]) for line in log if name in line] for name in ("loss", "held_out_loss")
    }
    return Curve(_thinned(points["loss"]), points["held_out_loss"])


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of so many neighbours that at most `POINTS` are left."""
    size = -(-len(points) // POINTS) or 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
