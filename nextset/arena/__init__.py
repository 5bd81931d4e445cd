"""The arena: systems trained and judged on equal terms, side by side."""

from .budget import fitted, training_cost
from .contest import Contest, Entry, run
from .report import table, write_report

__all__ = [
    "Contest",
    "Entry",
    "fitted",
    "run",
    "table",
    "training_cost",
    "write_report",
]
