"""`nextset train` and `nextset train-tokenizer` as a user calls them: what they say, what they refuse, what they leave."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextset import load
from nextset.cli import main

TINY = shlex.split(
    "train llamagen/tiny --data digits --system.condition.classes 10 --steps 2 --batch 4 --sample-every 0"
)
SHAPES = shlex.split(
    "train-tokenizer llamagen/shapes --data shapes --steps 2 --batch 2 --sample-every 0 --eval-every 0"
)
Said = pytest.CaptureFixture[str]


def refused(words: list[str], capsys: Said, code: int = 2) -> str:
    """The one sentence on the standard error of a call that ends with `code`."""
    capsys.readouterr()
    assert main(words) == code
    said = capsys.readouterr()
    assert not said.out
    assert "Traceback" not in said.err
    return said.err


def test_a_run_is_a_model_and_says_what_it_reached(tmp_path: Path, capsys: Said) -> None:
    assert main([*TINY, "--out", str(tmp_path / "run"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["step"], told["steps"], told["stopped_by"]) == (2, 2, None)
    assert told["held_out_loss"] > 0
    assert load(tmp_path / "run").generate(1).shape == (1, 1, 4, 4)


def test_training_goes_on_from_a_saved_model(tmp_path: Path, capsys: Said) -> None:
    assert main([*TINY, "--out", str(tmp_path / "first"), "--lr", "0.01"]) == 0
    more = ["train", str(tmp_path / "first"), "--data", "digits", "--steps", "1", "--batch", "4", "--log-every", "1"]
    assert main([*more, "--out", str(tmp_path / "second"), "--lr", "1e-9", "--ema", "0"]) == 0
    left, right = (load(tmp_path / name).state_dict() for name in ("first", "second"))
    assert all(np.allclose(left[key], right[key], atol=1e-6) for key in left)
    said = refused([*more, "--system.backbone.depth", "3", "--out", str(tmp_path / "third")], capsys)
    assert "backbone.depth 2 -> 3" in said


def test_a_dry_run_says_everything_and_writes_nothing(tmp_path: Path, capsys: Said) -> None:
    assert main([*TINY, "--out", str(tmp_path / "run"), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(told[key] > 0 for key in ("parameters", "memory", "tokens_per_second", "seconds"))
    assert told["fits"]
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_is_trained_and_stood_upon(tmp_path: Path, capsys: Said) -> None:
    assert (
        main([*SHAPES, "--out", str(tmp_path / "vq"), "--loss.gan", "--loss.gan-start", "1", "--loss.gan-layers", "1"])
        == 0
    )
    words = shlex.split("train llamagen/shapes --data shapes --steps 1 --batch 2 --sample-every 0 --eval-every 0")
    words += ["--system.backbone.depth", "1", "--out", str(tmp_path / "run")]
    assert "train-tokenizer" in refused(words, capsys)
    words += ["--tokenizer", str(tmp_path / "vq")]
    capsys.readouterr()
    assert main([*words, "--dry-run"]) == 0
    assert not capsys.readouterr().err
    assert main(words) == 0
    assert load(tmp_path / "run").generate(1).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "lamagen/digits", "--data", "digits"], "did you mean 'llamagen'"),
        (["train", "llamagen/digit", "--data", "digits"], "did you mean 'digits'"),
        (["train", "--data", "digits"], "say which system first"),
        (["train", "llamagen/digits", "--data", "digitz"], "digitz"),
        ([*TINY, "--batch", "6", "--accumulate", "4"], "multiple of accumulate"),
        ([*TINY, "--system.condition.classes", "3"], "10 classes, the system only 3"),
        (["train", "llamagen/shapes", "--data", "shapes", "--tokenizer", "nowhere"], "nowhere"),
        (["train-tokenizer", "llamagen/digits", "--data", "digits"], "no weights to train"),
        ([*SHAPES, "--size", "30", "30"], "multiples of 4"),
        ([*TINY, "--resume"], "state.safetensors"),
    ],
)
def test_wrong_use_is_answered_in_a_sentence(words: list[str], said: str, tmp_path: Path, capsys: Said) -> None:
    assert said in refused([*words, "--out", str(tmp_path / "run")], capsys)


def test_a_misspelt_option_is_answered_with_the_nearest(capsys: Said) -> None:
    assert "--system.backbone.depth" in refused([*TINY, "--system.backbone.dept", "3"], capsys)


def test_a_folder_without_images_is_refused(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "photos").mkdir()
    words = ["train", "llamagen/tiny", "--data", str(tmp_path / "photos"), "--out", str(tmp_path / "run")]
    assert "photos" in refused(words, capsys)


def test_a_truncated_picture_is_named_and_the_run_is_kept(tmp_path: Path, capsys: Said) -> None:
    for index in range(8):
        folder = tmp_path / "photos" / "train" / f"class{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    broken = tmp_path / "photos" / "train" / "class1" / "7.png"
    (tmp_path / "photos" / "val").symlink_to(tmp_path / "photos" / "train")
    broken.write_bytes(broken.read_bytes()[:300])
    words = ["train", "llamagen/tiny", "--data", str(tmp_path / "photos"), "--system.condition.classes", "2"]
    words += ["--steps", "50", "--batch", "2", "--eval-every", "0", "--out", str(tmp_path / "run")]
    assert "7.png" in refused(words, capsys, code=1)
    assert (tmp_path / "run" / "state.safetensors").is_file()


def test_a_missing_extra_says_how_to_install_it(tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert "pip install 'nextset[train]'" in refused([*TINY, "--out", str(tmp_path / "run")], capsys)
