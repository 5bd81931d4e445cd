"""Runs small enough to train in a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nextset import System, catalogue
from nextset.conditions import Label
from nextset.train import Options, Recipe, Trainer, set_up_generator

SYSTEM = replace(catalogue.spec("llamagen/tiny"), condition=Label(10))
RECIPE = Recipe(steps=20, batch=8, lr=3e-3, warmup=2, ema=0.9)
QUIET = {"sample_every": 0, "eval_every": 0, "log_every": 1}


@pytest.fixture
def system() -> System:
    """A tiny system for digits at 4 x 4 pixels."""
    return SYSTEM


@pytest.fixture
def recipe() -> Recipe:
    """Twenty steps."""
    return RECIPE


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """Makes trainers of the tiny system: `trainer(folder, steps=..., resume=...)`."""

    def make(name: str = "run", system: System = SYSTEM, **changes: Any) -> Trainer:
        options = {k: changes.pop(k) for k in list(changes) if k in Options.__dataclass_fields__}
        setup = set_up_generator(system, "digits", replace(RECIPE, **changes))
        return setup.trainer(Options(tmp_path / name, **{**QUIET, **options}))

    return make
