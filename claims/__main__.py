"""`python -m claims [NAME ...] [--json] [--list]`: tries claims and prints one table of them; exit code 1 if one fails."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from nextset.errors import UsageError

from . import Verdict, names, tried

HEAD = "| system | claim | figure | must be | verdict | seconds |\n| --- | --- | --- | --- | --- | --- |"


def row(verdict: Verdict) -> str:
    """One claim as a row of the table; what is known not to hold tells why."""
    claim = verdict.claim
    fate = "holds" if claim.holds else "**fails**" if verdict.error else f"does not hold here: {claim.note}"
    cells = (verdict.name.replace("_", "-"), claim.says, claim.figure, claim.must, fate, f"{verdict.seconds:.0f}")
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def main(words: Sequence[str] | None = None) -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m claims", description="Tries the claims of papers in miniature.")
    parser.add_argument("names", nargs="*", help="which (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    asked = parser.parse_args(words)
    if asked.list:
        print("\n".join(names()))
        return 0
    out = sys.stderr if asked.json else sys.stdout
    verdicts: list[Verdict] = []
    try:
        for verdict in tried(tuple(name.replace("-", "_") for name in asked.names)):
            print(row(verdict) if verdicts else f"{HEAD}\n{row(verdict)}", file=out, flush=True)
            verdicts.append(verdict)
    except UsageError as error:
        print(f"claims: {error}", file=sys.stderr)
        return 2
    if asked.json:
        print(json.dumps([dataclasses.asdict(verdict) for verdict in verdicts], indent=1))
    return int(any(verdict.error for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
