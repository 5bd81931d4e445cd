"""`python -m claims [NAME ...] [--json] [--list]`: tries claims and prints one line each; exit code 1 if one fails."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from nextset.errors import UsageError

from . import Verdict, names, tried


def line(verdict: Verdict) -> str:
    """One claim in a line."""
    claim = verdict.claim
    fate = "holds" if claim.holds else "FAILS" if verdict.error else "does not hold here"
    said = f"{verdict.name:<10} {fate:<19}{claim.says}: {claim.figure} (must be {claim.must}; {verdict.seconds:.0f} s)"
    return said + ("" if claim.holds or not claim.note else f"; {claim.note}")


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
    verdicts = []
    try:
        for verdict in tried(tuple(asked.names)):
            verdicts.append(verdict)
            print(line(verdict), file=sys.stderr if asked.json else sys.stdout, flush=True)
    except UsageError as error:
        print(f"claims: {error}", file=sys.stderr)
        return 2
    if asked.json:
        print(json.dumps([dataclasses.asdict(verdict) for verdict in verdicts], indent=1))
    return int(any(verdict.error for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
