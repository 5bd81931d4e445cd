"""The arena: systems trained and judged on equal terms, side by side."""

from .budget import fitted, training_cost
from .contest import Contest
from .entry import Entry, Run
from .interval import Interval, interval
from .lineup import lineup, pictures_of
from .report import write_report
from .run import run
from .table import table

__all__ = [
    "Contest",
    "Entry",
    "Interval",
    "Run",
    "fitted",
    "interval",
    "lineup",
    "pictures_of",
    "run",
    "table",
    "training_cost",
    "write_report",
]
