"""`nextset arena`: systems trained and judged on equal terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from ..arena import Contest, lineup, pictures_of, run, table, write_report
from ..arena.report import HTML
from ..data.open import open_dataset
from . import command
from .catalogue import shown
from .command import Json


@dataclass(frozen=True)
class Arena:
    """Train systems on the same data with the same parameters and arithmetic, judge them alike, and write a report.

    A stopped contest goes on where it was, by the same command; more systems and more seeds may join later. What fails (a crash, a loss
    that is no number) is told in the report, and the others go on.
    """

    systems: str
    """Names with commas between, each with a size or without (llamagen,var,mar/digits), or all (others) that have a size for the data. The first one
    sets the budget."""
    contest: tyro.conf.OmitArgPrefixes[Contest] = field(default_factory=Contest)
    seeds: int = 3
    """Runs of each system; figures are told as their mean with an interval."""
    jobs: int = 1
    """Runs at a time, each in a process of its own, which share the threads of this machine."""
    retry: bool = False
    """Try again what failed before, from where it stopped."""
    out: Path = Path("runs/arena")
    """Folder for the runs and the report: report.html, its plot, and results.json."""
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command on its words."""
        return command.parse(cls, "arena", words).run()

    def run(self) -> int:
        """Trains, judges, reports. The exit code is 1 where a system failed."""
        contest = self.contest
        seen = pictures_of(open_dataset(contest.data, "test"), contest.side, contest.channels)
        systems, misfits = lineup(self.systems.split(","), contest.data, seen)
        entries = run(contest, systems, self.out, seeds=self.seeds, jobs=self.jobs, retry=self.retry, misfits=misfits)
        data = write_report(contest, entries, self.out)
        command.say(self.json, data, f"{shown(table(entries))}\nthe report is {self.out / HTML}")
        return int(any(entry.failed for entry in entries))
