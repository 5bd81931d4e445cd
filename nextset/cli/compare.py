"""`nextset compare`: systems trained and judged on equal terms."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from ..arena import Contest, run, table, write_report
from ..arena.contest import entries_to_json
from ..arena.report import HTML
from ..errors import UsageError
from . import command
from .catalogue import shown
from .command import Json


@dataclass(frozen=True)
class Compare:
    """Train systems on the same data with the same parameters and arithmetic, judge them alike, and write a report.

    A stopped comparison goes on where it was; what fails is reported, and the others go on.
    """

    contest: tyro.conf.OmitArgPrefixes[Contest] = field(default_factory=Contest)
    out: Path = Path("runs/compare")
    """Folder for the runs and the report: a table, a plot of quality against time, sample grids; HTML, PNG and JSON."""
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command on its words: systems first, then options."""
        names = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
        rest = list(words[len(names) :])
        if not names and not {"-h", "--help"} & set(rest):
            raise UsageError("say which systems first, for example: nextset compare llamagen randar --data digits")
        return command.parse(cls, "compare SYSTEM [SYSTEM ...]", rest).run(names)

    def run(self, names: Sequence[str]) -> int:
        """Trains, judges, reports. The exit code is 1 where a system failed."""
        entries = run(self.contest, names, self.out)
        write_report(self.contest, entries, self.out)
        text = f"{shown(table(entries))}\nthe report is {self.out / HTML}"
        command.say(self.json, entries_to_json(self.contest, entries), text)
        return int(any(entry.failed for entry in entries))
