"""What was recorded in the folder that the test's module names."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor


@pytest.fixture(scope="module")
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments, scales and seeds of the official calls."""
    return request.module.RECORDED.read("config.json")


@pytest.fixture(scope="module")
def io(request: pytest.FixtureRequest) -> dict[str, Tensor]:
    """What those were given and what they gave."""
    return request.module.RECORDED.tensors("io")
