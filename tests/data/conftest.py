from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., bytes]


def encoded(seed: int, kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (12, 10)) -> bytes:
    """A picture of noise, encoded."""
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 pictures in the class folders b_cat and a_dog, of two formats."""
    root = tmp_path / "photos"
    for label in ("b_cat", "a_dog"):
        (root / label / "deep").mkdir(parents=True)
    for i in range(60):
        ending, kind = (".JPG", "JPEG") if i % 3 == 0 else (".png", "PNG")
        place = root / ("b_cat" if i % 2 else "a_dog") / ("deep" if i % 5 == 0 else "")
        (place / f"{i:03d}{ending}").write_bytes(encoded(i, kind))
    (root / "notes.md").write_text("not a picture")
    return root


def shard(path: Path, members: dict[str, bytes]) -> Path:
    """A tar of these members."""
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """Three shards of ten samples each, with labels 0..2 and captions."""
    root = tmp_path / "shards"
    root.mkdir()
    for s in range(3):
        members: dict[str, bytes] = {}
        for i in range(10):
            key = f"{s}{i:04d}"
            members |= {
                f"{key}.png": encoded(10 * s + i),
                f"{key}.cls": str(i % 3).encode(),
                f"{key}.txt": f"picture {key}\n".encode(),
            }
        shard(root / f"set-{s:04d}.tar", members)
    return root
