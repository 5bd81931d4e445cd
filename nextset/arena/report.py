"""What a contest leaves: figures as JSON, a page, and its plot as a picture."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import save_json, write_atomically
from .contest import Contest, Register
from .entry import Entry
from .page import page, picture

JSON, HTML, PLOT = "results.json", "report.html", "quality-against-time.svg"


def write_report(contest: Contest, entries: Sequence[Entry], out: Path) -> dict[str, Any]:
    """Writes results.json, report.html and the plot into the folder of a contest that was `run` there, atomically; returns the first."""
    register = Register.opened(contest, out)
    data = register.to_dict() | {"entries": [entry.to_dict() for entry in entries]}
    save_json(out / JSON, data)
    for name, text in ((HTML, page(register, entries)), (PLOT, picture(entries))):
        write_atomically(out / name, functools.partial(Path.write_text, data=text, encoding="utf-8"))
    return data
