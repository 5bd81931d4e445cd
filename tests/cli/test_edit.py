"""`nextset edit` as a user meets it: files, words, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nextset import Model
from nextset.cli import main
from nextset.conditions import Label
from nextset.evaluate import load_samples
from nextset.tokenizers.pixel import Pixel
from tests.laws.toys import lively, tiny

SYSTEM = tiny("llamagen")
Capture = pytest.CaptureFixture[str]


def test_edits_keep_what_is_not_masked(
    saved: str, model: Model, tmp_path: Path, pictures: Callable[..., list[str]], capsys: Capture
) -> None:
    files = pictures()
    words = ["edit", saved, *files, "--class", "1", "--count", "5", "--seed", "4", "--batch", "2"]
    assert main([*words, "--out", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["count"] == 5
    assert "note:" not in captured.err  # the lower half is the end of a raster order
    drawn = load_samples(tmp_path / "out").images(0, 5)
    image = torch.from_numpy(np.array(Image.open(files[0]))).float()[None, None] / 127.5 - 1
    assert (drawn[:, :, :2] - image[:, :, :2]).abs().max() == 0
    assert len({tuple(d.flatten().tolist()) for d in drawn}) > 1
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[2:] = True
    direct = model.edit(image.expand(5, 1, 4, 4), mask, [1] * 5, seed=4)
    assert (drawn - direct).abs().max() < 0.51 / 127.5
    assert main([*words, "--out", str(tmp_path / "out.png")]) == 0
    with Image.open(tmp_path / "out.png") as grid:
        assert grid.size == (2 + 3 * 66, 2 + 3 * 66)  # original, what is kept, five drawn: seven of nine places
        pixels = np.asarray(grid)
    assert (pixels[2 + 32 : 2 + 64, 68 : 68 + 64] == 128).all()  # the masked half in the second place
    assert np.array_equal(pixels[2:34, 2:66], pixels[2:34, 68:132])


def test_a_mask_in_the_middle_is_warned_about(
    saved: str, tmp_path: Path, pictures: Callable[..., list[str]], capsys: Capture
) -> None:
    files = pictures()
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(files[2])
    assert main(["edit", saved, *files, "--out", str(tmp_path / "x.png"), "--count", "1"]) == 0
    assert "of the kept sites come after a redrawn one" in capsys.readouterr().err


def test_pictures_of_another_size_are_resized_on_demand(
    saved: str, tmp_path: Path, pictures: Callable[..., list[str]], capsys: Capture
) -> None:
    files = pictures((12, 8), (12, 8), "RGB")
    words = ["edit", saved, *files, "--out", str(tmp_path / "x"), "--count", "2"]
    assert main(words) == 2
    assert "is 12x8, the model draws 4x4; --resize cuts and scales" in capsys.readouterr().err
    assert main([*words, "--resize"]) == 0
    assert load_samples(tmp_path / "x").shape == (4, 4, 1)


def test_grey_pictures_for_a_colour_model(tmp_path: Path, pictures: Callable[..., list[str]]) -> None:
    colour = lively(replace(SYSTEM, tokenizer=Pixel(5, 3))).save_pretrained(tmp_path / "model")
    assert main(["edit", str(colour), *pictures(), "--out", str(tmp_path / "x"), "--count", "1"]) == 0
    drawn = load_samples(tmp_path / "x").images(0, 1)
    assert drawn.shape == (1, 3, 4, 4)
    assert torch.equal(drawn[:, 0, :2], drawn[:, 2, :2])


def test_files_that_do_not_fit_an_edit(
    saved: str, tmp_path: Path, pictures: Callable[..., list[str]], capsys: Capture
) -> None:
    out = ["--out", str(tmp_path / "x.png")]

    def refused(files: list[str], *words: str) -> str:
        assert main(["edit", saved, *files, *out, *words]) == 2
        return capsys.readouterr().err

    assert "mask.png is 5x4, the image" in refused(pictures(mask=(5, 4)))
    assert "class 3 is outside 0..2" in refused(pictures(), "--class", "3")
    assert "count must be in 1..1000" in refused(pictures(), "--count", "0")
    assert "must be a .png or a folder" in refused(pictures(), "--out", str(tmp_path / "x.npz"))
    assert "image: there is no file" in refused(["nothing.png", *pictures()[1:]])
    assert "mask: there is no file" in refused([*pictures()[:2], "nothing.png"])
    assert "exists already" in refused(pictures(), "--out", pictures()[0])
    files = pictures()
    Image.new("L", (4, 4)).save(files[2])
    assert "marks nothing; paint white" in refused(files)
    image = Path(pictures((40, 40), (40, 40))[0])
    image.write_bytes(image.read_bytes()[:500])
    assert main(["edit", saved, *files, *out, "--resize"]) == 1
    assert "image.png is damaged" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_a_model_that_knows_no_classless_pictures(
    tmp_path: Path, pictures: Callable[..., list[str]], capsys: Capture
) -> None:
    system = replace(SYSTEM, condition=Label(3, dropout=0.0))
    words = ["edit", str(lively(system).save_pretrained(tmp_path / "model")), *pictures(), "--count", "1"]
    assert main([*words, "--out", str(tmp_path / "x.png")]) == 2
    assert "give --class" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "x.png"), "--class", "0"]) == 0


def test_a_picture_is_continued(
    any_order: str, tmp_path: Path, pictures: Callable[..., list[str]], capsys: Capture
) -> None:
    """By pixels at each side; a mask and margins exclude each other."""
    image, *mask = pictures()
    words = ["edit", any_order, image, "--class", "1", "--count", "3"]
    assert main([*words, "--grow", "0", "2", "1", "0", "--out", str(tmp_path / "out")]) == 0
    drawn = load_samples(tmp_path / "out").images(0, 3)
    given = torch.from_numpy(np.array(Image.open(image))).float()[None, None] / 127.5 - 1
    assert drawn.shape == (3, 1, 6, 5)
    assert (drawn[:, :, :4, 1:] - given).abs().max() == 0
    capsys.readouterr()
    for wrong in ([*mask, "--grow", "0", "2", "1", "0"], [], ["--grow", "0", "0", "0", "0"]):
        assert main([*words, *wrong, "--out", str(tmp_path / "none")]) == 2
        assert "grow" in capsys.readouterr().err
