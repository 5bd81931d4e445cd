from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nextset.data.check import check
from nextset.data.open import open_dataset
from nextset.errors import UsageError

from .conftest import encoded


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the package `datasets` reads it: pictures with captions in metadata.jsonl."""
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    root = tmp_path / "pets"
    (root / "train").mkdir(parents=True)
    lines = []
    for i in range(40):
        (root / "train" / f"{i}.png").write_bytes(encoded(i, mode="L" if i == 3 else "RGB"))
        lines.append(json.dumps({"file_name": f"{i}.png", "text": f"pet {i}"}))
    (root / "train" / "metadata.jsonl").write_text("\n".join(lines))
    return root


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'nextset\[data\]'"):
        open_dataset("hf:nobody/pets")


def test_hub_data_sets(hub: Path) -> None:
    train, test = (open_dataset(f"hf:{hub}", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (38, 2)
    items = {item.caption: item for item in (d[i] for d in (train, test) for i in range(len(d)))}
    assert set(items) == {f"pet {i}" for i in range(40)}
    assert items["pet 3"].image.shape == (10, 12, 1)
    assert items["pet 4"].image.shape == (10, 12, 3)
    assert check(f"hf:{hub}").captioned == 40


def test_classes_of_hub_data_sets(hub: Path) -> None:
    (hub / "train" / "metadata.jsonl").unlink()
    for name in ("cat", "dog"):
        (hub / "train" / name).mkdir()
        (hub / "validation" / name).mkdir(parents=True)
        (hub / "validation" / name / "v.png").write_bytes(encoded(70))
    for i in range(40):
        (hub / "train" / f"{i}.png").rename(hub / "train" / ("cat" if i < 30 else "dog") / f"{i}.png")
    data, test = open_dataset(f"hf:{hub}"), open_dataset(f"hf:{hub}", "test")
    assert data.classes == ("cat", "dog")
    assert sorted(data[i].label for i in range(40)) == [0] * 30 + [1] * 10
    assert sorted(test[i].label for i in range(2)) == [0, 1]


def test_what_is_no_picture_data_is_refused(hub: Path) -> None:
    with pytest.raises(UsageError, match="could not be had"):
        open_dataset(f"hf:{hub}/nothing")
    text = hub.parent / "texts"
    text.mkdir()
    (text / "train.jsonl").write_text('{"text": "no pictures"}\n')
    with pytest.raises(UsageError, match="no column of images, only text"):
        open_dataset(f"hf:{text}")
