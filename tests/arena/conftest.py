"""A contest in miniature, run once: two that finish, and three that get into trouble."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nextset import System, catalogue
from nextset.arena import Contest, Entry, run, write_report
from tests.arena.troubled import Troubled

TINY = Contest(parameters=60_000, steps=2, batch=64, samples=20, tries=8, scales=(1.0, 2.0))
GOOD = {name: catalogue.spec(f"{name}/digits") for name in ("par", "nar")}
BAD = {trouble: replace(GOOD["par"], objective=Troubled(trouble)) for trouble in ("raises", "killed", "diverges")}


@dataclass(frozen=True)
class Held:
    """A contest that was run, and what came of it."""

    contest: Contest
    systems: dict[str, System]
    out: Path
    entries: list[Entry]

    def __getitem__(self, name: str) -> Entry:
        return next(entry for entry in self.entries if entry.name == name)


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """One run of each, two at a time."""
    out = tmp_path_factory.mktemp("contest")
    entries = run(TINY, GOOD | BAD, out, jobs=2, misfits={"<odd>": "its parts & pictures do not fit"})
    write_report(TINY, entries, out)
    return Held(TINY, GOOD | BAD, out, entries)
