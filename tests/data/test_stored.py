from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextset.data.loader import Loader
from nextset.data.open import find_splits, open_dataset
from nextset.data.stored import Stored
from nextset.data.tar import shards
from nextset.errors import NextsetError, UsageError

from .conftest import encoded, shard


def keys(source: Path, split: str) -> set[str]:
    dataset = open_dataset(str(source), split)
    assert isinstance(dataset, Stored)
    return {record.key for record in dataset.records}


# folders


def test_class_folders(folder: Path) -> None:
    dataset = open_dataset(str(folder), "all")
    assert len(dataset) == 60
    assert dataset.name == "photos:all"
    assert dataset.classes == ("a_dog", "b_cat")
    assert isinstance(dataset, Stored)
    for i, record in enumerate(dataset.records):
        assert dataset.classes[dataset.label(i)] == record.key.split("/")[0]
    png = next(i for i, r in enumerate(dataset.records) if r.key == "b_cat/001.png")
    expected = np.asarray(Image.open(io.BytesIO(encoded(1))))
    assert np.array_equal(dataset[png].image, expected)
    assert dataset[png].label == 1


def test_held_out_pictures_stay_held_out(folder: Path) -> None:
    train, test = keys(folder, "train"), keys(folder, "test")
    assert not train & test
    assert len(train | test) == 60
    assert 1 <= len(test) <= 10
    for i in range(60, 90):
        (folder / "a_dog" / f"{i:03d}.png").write_bytes(encoded(i))
    assert train <= keys(folder, "train")
    assert test <= keys(folder, "test")


def test_split_folders_are_the_splits(folder: Path) -> None:
    root = folder.parent / "imagenet"
    root.mkdir()
    folder.rename(root / "train")
    (root / "val" / "b_cat").mkdir(parents=True)
    (root / "val" / "b_cat" / "x.png").write_bytes(encoded(99))
    (root / "test").mkdir()  # as ImageNet has it: pictures without labels, which val is preferred to
    (root / "test" / "y.png").write_bytes(encoded(98))
    test = open_dataset(str(root), "test")
    assert len(test) == 1
    assert test.classes == ("a_dog", "b_cat")
    assert test[0].label == 1
    assert len(open_dataset(str(root))) == 60
    (root / "val" / "c_bird").mkdir()
    (root / "val" / "c_bird" / "z.png").write_bytes(encoded(97))
    with pytest.raises(UsageError, match=r"c_bird.*no training picture"):
        open_dataset(str(root), "test")


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.webp").write_bytes(encoded(i, "WEBP"))
    (tmp_path / "1.txt").write_text("a red thing\n")
    dataset = open_dataset(str(tmp_path), "all")
    assert dataset.classes == ()
    assert [dataset[i].label for i in range(3)] == [-1] * 3
    assert sorted(dataset[i].caption for i in range(3)) == ["", "", "a red thing"]
    assert len(open_dataset(str(tmp_path), "test")) >= 1
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "0.png").write_bytes(encoded(0))
    with pytest.raises(UsageError, match="both pictures"):
        open_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("L", (10, 12, 1)),
        ("1", (10, 12, 1)),
        ("LA", (10, 12, 1)),
        ("P", (10, 12, 3)),
        ("RGBA", (10, 12, 3)),
        ("I;16", (10, 12, 1)),
    ],
)
def test_modes_become_grey_or_rgb(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    (tmp_path / "a.png").write_bytes(encoded(3, mode=mode if mode != "I;16" else "L"))
    if mode == "I;16":
        deep = np.linspace(0, 65535, 120).reshape(10, 12).astype(np.uint16)
        Image.fromarray(deep).save(tmp_path / "a.png")
    image = open_dataset(str(tmp_path), "all")[0].image
    assert image.shape == shape
    assert image.dtype == np.uint8
    assert image.min() < 40
    assert image.max() > 215  # the full range is kept, deep grey included


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"{tmp_path} holds no pictures: looked for \.jpg"):
        open_dataset(str(tmp_path))
    (tmp_path / "one.png").write_bytes(encoded(0))
    with pytest.raises(UsageError, match="too few"):
        open_dataset(str(tmp_path), "test")
    with pytest.raises(UsageError, match="split must be one of"):
        open_dataset(str(tmp_path), "valid")


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    whole = encoded(0, "JPEG", size=(64, 64))
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.png").write_bytes(b"hello")
    dataset = open_dataset(str(tmp_path), "all")
    for i, name in enumerate(("a.jpg", "b.png")):
        with pytest.raises(NextsetError, match=f"{tmp_path}/{name} is"):
            dataset[i]
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(NextsetError, match=r"a\.jpg cannot be read"):
        dataset[0]


# jsonl


def test_lists(tmp_path: Path, folder: Path) -> None:
    lines = [
        {"image": "photos/b_cat/001.png", "label": "cat", "caption": "one"},
        {"file_name": "photos/a_dog/002.png", "text": "two"},
    ]
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    dataset = open_dataset(str(path), "all")
    found = {(dataset[i].caption, dataset[i].label) for i in range(2)}
    assert found == {("one", 0), ("two", -1)}
    assert dataset.classes == ("cat",)
    path.rename(tmp_path / "metadata.jsonl")
    assert len(open_dataset(str(tmp_path), "all")) == 2
    for name in ("train", "val"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(lines[0]))
    assert [len(open_dataset(str(tmp_path), split)) for split in ("train", "test", "all")] == [1, 1, 2]


@pytest.mark.parametrize(
    "line", ['{"image": 3}', "{", "[]", '{"image": "a.png", "label": [1]}', '{"image": "a.png", "caption": 1}']
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text('{"image": "a.png"}\n' + line)
    with pytest.raises(UsageError, match=rf"{path}:2"):
        open_dataset(str(path))


def test_labels_are_names_or_numbers_not_both(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text('{"image": "a.png", "label": "cat"}\n{"image": "b.png", "label": 2}')
    with pytest.raises(UsageError, match="names .* and numbers"):
        open_dataset(str(path))


# tars


@pytest.mark.parametrize("pattern", ["", "/set-*.tar", "/set-{0000..0002}.tar", "/set-000{0,1,2}.tar"])
def test_shards_by_folder_glob_or_braces(tars: Path, pattern: str) -> None:
    dataset = open_dataset(f"{tars}{pattern}", "all")
    assert len(dataset) == 30
    assert dataset.classes == ("0", "1", "2")
    items = sorted((dataset[i] for i in range(30)), key=lambda item: item.caption)
    for i, item in enumerate(items):
        assert np.array_equal(item.image, np.asarray(Image.open(io.BytesIO(encoded(i)))))
        assert item.label == i % 10 % 3
        assert item.caption == f"picture {i // 10}{i % 10:04d}"


def test_one_tar_with_json_notes(tmp_path: Path) -> None:
    note = json.dumps({"label": "cat", "caption": "a cat"}).encode()
    path = shard(
        tmp_path / "a.tar", {"x/1.json": note, "x/1.JPG": encoded(1, "JPEG"), "x/2.png": encoded(2), "x/3.bin": b"?"}
    )
    dataset = open_dataset(str(path), "all")
    assert sorted((dataset[i].label, dataset[i].caption) for i in range(len(dataset))) == [(-1, ""), (0, "a cat")]


def test_missing_shards_are_named(tars: Path) -> None:
    with pytest.raises(UsageError, match=r"set-0003\.tar does not exist"):
        open_dataset(f"{tars}/set-{{0000..0003}}.tar")
    assert len(shards(f"{tars}/set-{{0001..0002}}.tar")) == 2


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_tar_cut_short_is_named(tars: Path, share: float) -> None:
    path = tars / "set-0001.tar"
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(NextsetError, match=r"set-0001\.tar is"):
        open_dataset(str(tars))


def test_a_tar_cut_between_members_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", {"1.png": encoded(1), "2.png": encoded(2)})
    first = 512 + (len(encoded(1)) + 511) // 512 * 512
    path.write_bytes(path.read_bytes()[:first])
    with pytest.raises(NextsetError, match=r"a\.tar is cut short"):
        open_dataset(str(path))


def test_a_damaged_header_and_a_damaged_member_are_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", {"1.png": encoded(1), "2.png": encoded(2)})
    data = bytearray(path.read_bytes())
    data[700:760] = bytes(60)  # inside the first picture
    path.write_bytes(data)
    dataset = open_dataset(str(path), "all")
    with pytest.raises(NextsetError, match=r"a\.tar/1\.png is damaged"):
        [dataset[i] for i in range(2)]
    second = 512 + (len(encoded(1)) + 511) // 512 * 512
    data[second : second + 40] = b"x" * 40
    path.write_bytes(data)
    with pytest.raises(NextsetError, match=r"a\.tar is cut short or damaged at byte"):
        open_dataset(str(path))


@pytest.mark.parametrize("workers", [0, 2])
def test_data_sets_travel_to_workers(tars: Path, workers: int) -> None:
    dataset = pickle.loads(pickle.dumps(open_dataset(str(tars), "all")))
    batches = list(Loader(dataset, 7, (8, 8), 3, workers=workers).once())
    assert [len(b) for b in batches] == [7, 7, 7, 7, 2]
    assert sorted(c for b in batches for c in b.captions) == [
        f"picture {s}{i:04d}" for s in range(3) for i in range(10)
    ]


# sniffing


@pytest.mark.parametrize(("source", "hint"), [("digit", "did you mean 'digits'"), ("/nowhere/at/all", "no path")])
def test_unknown_sources_get_a_hint(source: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        open_dataset(source)


def test_files_of_no_known_kind(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(UsageError, match="no known kind"):
        open_dataset(str(tmp_path / "a.zip"))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "bus", "car"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(encoded(1))
    assert open_dataset(str(tmp_path), "all").classes == ("bus", "car", "train")
    assert find_splits(str(tmp_path)).rule.startswith("5%")
