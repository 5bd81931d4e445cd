"""Time as arithmetic: a user says how long, and every system gets the multiply-adds that the first one does in that time here."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import torch

from ..errors import UsageError
from ..system import System
from ..train import Options, Recipe, set_up_generator

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
REHEARSED = 12  # steps that are timed


def duration(text: str) -> float:
    """Seconds of "90s", "5m", "1.5h" or "1h30m". Raises UsageError for anything else, and for nothing."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not seconds:
        raise UsageError(f"budget must be a time such as 90s, 5m or 1h30m, got {text!r}")
    return seconds


def seconds_a_step(system: System, data: str, recipe: Recipe) -> float:
    """Measured over a few real training steps, on as many threads as torch has here; nothing is kept."""
    torch.manual_seed(recipe.seed)
    with tempfile.TemporaryDirectory() as folder:
        setup = set_up_generator(system.build(), data, recipe)  # any weights take as long, those of a tokenizer too
        return setup.trainer(Options(Path(folder))).rehearse(REHEARSED)
