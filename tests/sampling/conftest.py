"""A small model with lively weights, and jobs for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from nextset import Model
from nextset.sampling import Job, identity
from tests.laws.toys import lively, tiny


@pytest.fixture(scope="session")
def model() -> Model:
    """4x4 grey pictures of 5 levels, 3 classes."""
    return lively(tiny("llamagen"))


@pytest.fixture(scope="session")
def job_of(model: Model) -> Callable[..., Job]:
    """A job of that model, with some fields changed."""
    system = model.system
    standard = Job(identity(model), (0, 1, 2), 30, 5, system.guidance, system.pick)
    return lambda **changed: dataclasses.replace(standard, **changed)
