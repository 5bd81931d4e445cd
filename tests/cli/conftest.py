"""What the tests of drawing commands share: saved models, and a picture with a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextset import Model
from nextset.conditions import Captions, Unconditional
from nextset.decode import Constant
from tests.laws.toys import lively, tiny

SYSTEM = tiny("llamagen")


@pytest.fixture(scope="session")
def model() -> Model:
    """4x4 grey pictures of 5 levels, 3 classes."""
    return lively(SYSTEM)


@pytest.fixture(scope="session")
def saved(model: Model, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(model.save_pretrained(tmp_path_factory.mktemp("checkpoints") / "model"))


@pytest.fixture(scope="session")
def free(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that is told nothing."""
    system = replace(SYSTEM, condition=Unconditional(), guidance=Constant())
    return str(lively(system).save_pretrained(tmp_path_factory.mktemp("checkpoints") / "free"))


@pytest.fixture(scope="session")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that is told captions."""
    system = replace(SYSTEM, condition=Captions(("a", "b"), 3, 1, 2))
    return str(lively(system).save_pretrained(tmp_path_factory.mktemp("checkpoints") / "captioned"))


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes an image of noise and a mask of its lower half; the words that name them."""

    def write(size: tuple[int, int] = (4, 4), mask: tuple[int, int] = (4, 4), mode: str = "L") -> list[str]:
        rng = np.random.default_rng(0)
        noise = Image.fromarray(rng.integers(0, 5, (size[1], size[0], 3), dtype=np.uint8) * 63)
        noise.convert(mode).save(tmp_path / "image.png")
        marks = np.zeros((mask[1], mask[0]), np.uint8)
        marks[mask[1] // 2 :] = 255
        Image.fromarray(marks).save(tmp_path / "mask.png")
        return [str(tmp_path / "image.png"), "--mask", str(tmp_path / "mask.png")]

    return write


@pytest.fixture(scope="session")
def any_order(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that goes in any order, and at any size."""
    return str(lively(tiny("randar")).save_pretrained(tmp_path_factory.mktemp("checkpoints") / "any"))
