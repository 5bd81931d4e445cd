"""What every test shares: one thread a worker, no network, fixed seeds."""

from __future__ import annotations

import os

# read by their libraries when these are first imported, so set before any of them is
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` wait for a machine that has one."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Fresh weights come from torch's global generator: the same ones whatever ran before on this worker."""
    torch.manual_seed(0)


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded CPU generator of the test's own."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder. Tests that do not ask for it share the user's, so that what is made once stays made."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NEXTSET_CACHE", str(folder))
    return folder
