"""What a contest leaves: figures as JSON, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import save_json, write_atomically
from .contest import Contest, Register
from .entry import Entry
from .page import page

JSON, HTML = "results.json", "report.html"


def write_report(contest: Contest, entries: Sequence[Entry], out: Path) -> dict[str, Any]:
    """Writes results.json and report.html into the folder of a contest that was `run` there, each atomically; returns the former."""
    register = Register.opened(contest, out)
    data = register.to_dict() | {"entries": [entry.to_dict() for entry in entries]}
    save_json(out / JSON, data)
    text = page(register, entries)
    write_atomically(out / HTML, lambda path: path.write_text(text, encoding="utf-8"))
    return data
