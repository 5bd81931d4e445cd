"""`python -m benchmarks [NAME ...] [--quick] [--threads N] [--json]`: one table. Exit code 1 where contestants do not agree."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

import torch

from nextset.cli.command import table
from nextset.errors import NextsetError, UsageError

from . import NAMES, Row, check, rows
from .machine import Machine

HEAD = ("case", "ours is", "unit", "ours", "other", "is", "times as fast", "limit", "from limit", "note")


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} ({row.lowest:.2f} to {row.highest:.2f})"
    other = "" if row.other is None else f"{row.other:,.4g}"
    figures = (f"{row.ours:,.4g}", other, row.against, ratio, f"{row.limit:,.4g} ({row.bound})", f"{row.distance:.1f}x")
    return (f"{row.benchmark}: {row.case}", row.variant, row.unit, *figures, row.note)


def main(words: Sequence[str] | None = None) -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed, ours beside plain torch.")
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(NAMES)} (default: all), or NAME:PART")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds, to see that all runs")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch (default: its own choice)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(words)
    try:
        check(asked.names)
        if asked.threads < 0:
            raise UsageError(f"threads must be 1 or more, got {asked.threads}")
    except UsageError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if asked.threads:
        torch.set_num_threads(asked.threads)
    return measure(asked.names or NAMES, asked.quick, asked.json)


def measure(names: Sequence[str], quick: bool, as_json: bool) -> int:
    """Runs and prints; one benchmark whose contestants do not agree does not stop the others."""
    machine, code = Machine.measured(), 0
    found: list[Row] = []
    for name in names:
        try:
            for row in rows(name, machine, quick):
                found.append(row)
                # the table comes last, minutes from now
                print(f"benchmarks: {' | '.join(cells(row))}", file=sys.stderr)
        except NextsetError as error:
            print(f"benchmarks: {name}: {error}", file=sys.stderr)
            code = 1
    if as_json:
        data = {"machine": dataclasses.asdict(machine), "rows": [dataclasses.asdict(row) for row in found]}
        print(json.dumps(data, indent=1))
    else:
        print(machine, table([HEAD, *map(cells, found)]), sep="\n\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
