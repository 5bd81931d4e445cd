"""Pictures to files and back, and what is said of files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nextset.data.crop import to_float
from nextset.errors import NextsetError, UsageError
from nextset.evaluate.samples import check_finite, grid_image, load_samples, save_folder, save_grid, save_npz, to_uint8


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.rand(5, 3, 4, 6, generator=generator) * 2.2 - 1.1


def test_the_rule_of_rounding() -> None:
    x = torch.tensor([-1.5, -1.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 0.0, 1.0, 7.0]).view(1, 1, 1, -1)
    assert to_uint8(x).flatten().tolist() == [0, 0, 0, 1, 128, 255, 255]


def test_every_level_survives() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(to_uint8(to_float(levels)).numpy(), levels)
    assert np.array_equal(to_uint8(to_float(levels).double()).numpy(), levels)


@pytest.mark.parametrize("channels", [1, 3])
def test_folder_round_trip(tmp_path: Path, images: Tensor, channels: int) -> None:
    images = images[:, :channels]
    save_folder(images[:3], tmp_path / "x")
    save_folder(images[3:], tmp_path / "x", first=3)
    loaded = load_samples(tmp_path / "x")
    assert (len(loaded), loaded.shape, loaded.labels) == (5, (4, 6, channels), None)
    assert torch.equal(torch.cat(list(loaded.batches(2))), to_float(to_uint8(images).numpy()))


def test_folder_with_labels_keeps_the_numbering(tmp_path: Path, images: Tensor) -> None:
    labels = torch.tensor([10, 2, 10, 0, 2])
    save_folder(images, tmp_path, labels)
    loaded = load_samples(tmp_path)
    assert loaded.labels is not None
    assert loaded.labels.tolist() == labels.tolist()
    assert torch.equal(loaded.images(0, 9), to_float(to_uint8(images).numpy()))


@pytest.mark.parametrize("labelled", [True, False])
def test_npz_round_trip(tmp_path: Path, images: Tensor, labelled: bool) -> None:
    labels = torch.arange(5) if labelled else None
    save_npz(images, tmp_path / "x.npz", labels)
    with np.load(tmp_path / "x.npz") as file:
        assert (file["arr_0"].dtype, file["arr_0"].shape) == (np.uint8, (5, 4, 6, 3))
    loaded = load_samples(tmp_path / "x.npz")
    assert (loaded.labels is not None) == labelled
    assert torch.equal(loaded.images(0, 5), to_float(to_uint8(images).numpy()))
    save_npz(to_uint8(images), tmp_path / "y.npz", labels)
    assert torch.equal(load_samples(tmp_path / "y.npz").images(0, 5), loaded.images(0, 5))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.npz", "y.npz"]


def test_a_grid_shows_every_picture_in_its_place(tmp_path: Path) -> None:
    images = torch.stack([torch.full((1, 3, 3), level) for level in (-1.0, 0.0, 0.5)])
    grid = grid_image(images, columns=2)
    assert grid.shape == (12, 12, 1)
    assert (grid[2:5, 2:5] == 0).all()
    assert (grid[2:5, 7:10] == 128).all()
    assert (grid[7:10, 2:5] == 191).all()
    assert (grid[7:10, 7:10] == 255).all()  # no fourth picture
    save_grid(images, tmp_path / "deep" / "grid.png", scale=4)
    with Image.open(tmp_path / "deep" / "grid.png") as file:
        assert (file.mode, file.size) == ("L", (30, 30))


def test_samples_that_are_not_finite_are_named(tmp_path: Path, images: Tensor) -> None:
    images[3, 0, 0, 0], images[4, 0, 0, 0] = torch.nan, torch.inf
    with pytest.raises(NextsetError, match="sample 103 .*1 more"):
        check_finite(images, 100)
    for save in (save_grid, save_folder, save_npz):
        with pytest.raises(NextsetError, match="sample 3"):
            save(images, tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_named(tmp_path: Path, images: Tensor) -> None:
    save_folder(images, tmp_path / "x")
    (tmp_path / "x" / "000002.png").write_bytes((tmp_path / "x" / "000002.png").read_bytes()[:60])
    with pytest.raises(NextsetError, match=r"000002\.png is not a readable PNG"):
        load_samples(tmp_path / "x").images(0, 5)
    save_grid(images, tmp_path / "x" / "000002.png")
    with pytest.raises(NextsetError, match=r"000002\.png is .* one size"):
        load_samples(tmp_path / "x").images(0, 5)
    save_npz(images, tmp_path / "x.npz")
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:200])
    with pytest.raises(NextsetError, match=r"x\.npz is damaged"):
        load_samples(tmp_path / "x.npz")


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a folder"):
        load_samples(tmp_path / "nothing")
    with pytest.raises(UsageError, match="no PNG"):
        load_samples(tmp_path)
    path = tmp_path / "x.npz"
    np.savez(path, images=np.zeros(3))
    with pytest.raises(UsageError, match="no array arr_0, but images"):
        load_samples(path)
    np.savez(path, np.zeros((2, 3, 4, 4), np.uint8))
    with pytest.raises(UsageError, match="arr_0 must be uint8"):
        load_samples(path)
    np.savez(path, np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64))
    with pytest.raises(UsageError, match="arr_1"):
        load_samples(path)
    np.savez(path, np.array([{}], dtype=object))  # a pickle: never opened
    with pytest.raises(NextsetError, match="damaged"):
        load_samples(path)
    with pytest.raises(UsageError, match="floating point"):
        to_uint8(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
