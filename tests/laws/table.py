"""`python -m tests.laws.table`: runs the laws of systems and writes which system passes which into docs/laws.md.

A cell is "passes", "-" where the law cannot be asked (the reason is below the table), or "FAILS". A law with several cases passes when
all of them do.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from nextset import catalogue

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "laws.md"
LAWS = {
    "partition": ("test_partition",),
    "causality": ("test_causality_by_gradient", "test_causality_by_poison"),
    "parallel = incremental": ("test_parallel_is_incremental", "test_whole_and_steps_agree"),
    "normalised": ("test_normalised",),
    "sampling is the model": ("test_sampling_is_the_model",),
    "reproducible": ("test_reproducible",),
    "edits": ("test_edit_keeps_what_it_is_given", "test_edit_takes_a_mask_a_picture"),
    "round trip": ("test_round_trip",),
    "all weights learn": ("test_all_weights_learn",),
    "bad input": ("test_bad_input",),
}
OF_TEST = {test: law for law, tests in LAWS.items() for test in tests}


class Watcher:
    """Notes the outcome of every law for every system of the catalogue."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], set[str]] = {}
        self.reasons: dict[str, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for every phase of every test."""
        found = re.search(r"::(test_\w+)\[(.*)\]$", report.nodeid)
        if not found or found[1] not in OF_TEST or (report.when != "call" and report.outcome == "passed"):
            return
        fitting = [n for n in catalogue.names() if re.search(rf"(^|-){re.escape(n)}$", found[2])]
        if not fitting:
            return
        name = max(fitting, key=len)  # of "transformer" and "dnd-transformer" the longer one
        law = OF_TEST[found[1]]
        self.outcomes.setdefault((name, law), set()).add(report.outcome)
        if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            self.reasons.setdefault(f"{law}: {reason}", set()).add(name)

    def cell(self, name: str, law: str) -> str:
        """What the table says."""
        outcomes = self.outcomes.get((name, law), set())
        return "FAILS" if "failed" in outcomes else "passes" if "passed" in outcomes else "-"

    def document(self) -> str:
        """The whole page."""
        rows = [f"| {name} | {' | '.join(self.cell(name, law) for law in LAWS)} |" for name in catalogue.names()]
        whole = {
            reason: sorted(n for n in names if self.cell(n, reason.partition(":")[0]) == "-")
            for reason, names in sorted(self.reasons.items())
        }
        notes = [f"- {reason} ({', '.join(names)})" for reason, names in whole.items() if names]
        return "\n".join(
            [
                "# Which system passes which law",
                "",
                "Written by `python -m tests.laws.table`, which runs the laws of [architecture.md](architecture.md) on the `TINY` of every",
                'system. "-": the law cannot be asked, for the reason below the table.',
                "",
                f"| system | {' | '.join(LAWS)} |",
                f"| --- |{' --- |' * len(LAWS)}",
                *rows,
                "",
                *notes,
                "",
            ]
        )


def main() -> int:
    """Runs the laws; exit code 1 where one fails."""
    watcher = Watcher()
    code = pytest.main([str(HERE / "test_systems.py"), "-q", "--no-header", "-p", "no:xdist"], plugins=[watcher])
    DOCUMENT.write_text(watcher.document(), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
