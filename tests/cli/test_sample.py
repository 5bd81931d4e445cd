"""`nextset sample` and `nextset edit` as a user meets them: files, words, exit codes."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nextset import Model
from nextset.cli import command, main
from nextset.conditions import Label, Text, Unconditional
from nextset.decode import Constant, Pick
from nextset.evaluate import load_samples
from nextset.sampling import Job, Share, recorded
from nextset.tokenizers.pixel import Pixel
from tests.laws.toys import lively, tiny

SYSTEM = tiny("llamagen")
Capture = pytest.CaptureFixture[str]


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


def test_samples_are_those_of_generate(saved: str, model: Model, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "x.npz"
    words = ["sample", saved, "--out", str(out), "--class", "2", "0", "--count", "7", "--seed", "9", "--batch", "3"]
    how = ["--guidance", "2.5", "--temperature", "0.9", "--top-k", "4", "--top-p", "0.95", "--device", "cpu"]
    assert main([*words, *how]) == 0
    direct = model.generate([2, 0, 2, 0, 2, 0, 2], seed=9, guidance=2.5, pick=Pick(0.9, 4, 0.95))
    samples = load_samples(out)
    assert (samples.images(0, 7) - direct).abs().max() < 0.51 / 127.5  # half a step of 8 bits
    assert samples.labels is not None
    assert samples.labels.tolist() == [2, 0, 2, 0, 2, 0, 2]
    assert re.search(r"wrote .*x\.npz: 7 pictures, 7 drawn in [\d.]+ s \(.* images/s\)", capsys.readouterr().out)
    before = out.read_bytes()
    assert main([*words, *how]) == 0
    assert "is finished: 7 pictures, nothing was left to draw" in capsys.readouterr().out
    assert out.read_bytes() == before


def test_all_classes_are_the_default(saved: str, tmp_path: Path) -> None:
    assert main(["sample", saved, "--out", str(tmp_path / "x"), "--count", "9"]) == 0
    assert main(["sample", saved, "--out", str(tmp_path / "y"), "--count", "9", "--class", "all"]) == 0
    for name in ("x", "y"):
        labels = load_samples(tmp_path / name).labels
        assert labels is not None
        assert labels.tolist() == [0, 1, 2] * 3
    job = recorded(tmp_path / "x")
    assert job == recorded(tmp_path / "y")
    assert isinstance(job, Job)
    assert (job.guidance, job.pick) == (SYSTEM.guidance, SYSTEM.pick)  # nothing was said of them


def test_json_says_what_was_written(saved: str, tmp_path: Path, capsys: Capture) -> None:
    out, gif = tmp_path / "grid.png", tmp_path / "writing.gif"
    assert main(["sample", saved, "--out", str(out), "--count", "6", "--gif", str(gif), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["paths"] == [str(out), str(tmp_path / "grid.png.json"), str(gif)]
    assert (found["count"], found["drawn"], found["missing"]) == (6, 6, 0)
    assert found["images_per_second"] == pytest.approx(6 / found["seconds"], rel=0.2)  # both rounded
    assert all(Path(path).is_file() for path in found["paths"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["grid.png", "grid.png.json", "writing.gif"]
    with Image.open(out) as grid:
        assert grid.size == (2 + 3 * (64 + 2), 2 + 2 * (64 + 2))  # a column a class, small pictures enlarged to 64
    with Image.open(gif) as moving:
        assert moving.n_frames > 1


def test_bfloat16_is_another_job(saved: str, tmp_path: Path, capsys: Capture) -> None:
    words = ["sample", saved, "--out", str(tmp_path / "x.npz"), "--count", "3"]
    assert main([*words, "--dtype", "bfloat16"]) == 0
    assert torch.isfinite(load_samples(tmp_path / "x.npz").images(0, 3)).all()
    assert main(words) == 2
    assert "dtype was bfloat16, is float32" in capsys.readouterr().err


def test_processes_share_the_work(saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    words = ["sample", saved, "--count", "10", "--batch", "2", "--out"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, said in (("1", "6 of 10 are still missing"), ("0", "wrote")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert main([*words, str(tmp_path / "shared.npz")]) == 0
        assert said in capsys.readouterr().out
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert main([*words, str(tmp_path / "alone.npz")]) == 0
    assert (tmp_path / "shared.npz").read_bytes() == (tmp_path / "alone.npz").read_bytes()
    monkeypatch.setenv("RANK", "1")
    assert main([*words, str(tmp_path / "wrong.npz")]) == 2
    assert "RANK" in capsys.readouterr().err


def _stopped(words: list[str], parts: Path, number: int) -> int | None:
    """The exit code of a process that is sent a signal as soon as it has written a part."""

    def work() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs without it
        os._exit(main(words))

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    deadline = time.monotonic() + 60
    while not list(parts.glob("0*.npy")) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.pid
    os.kill(process.pid, number)
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_keep_what_is_written(saved: str, tmp_path: Path, number: int, code: int, capfd: Capture) -> None:
    out, parts = tmp_path / "x.npz", tmp_path / "x.npz.parts"
    words = ["sample", saved, "--out", str(out), "--count", "300", "--batch", "2"]
    assert _stopped(words, parts, number) == code
    assert "is kept; the same command goes on from there" in capfd.readouterr().err
    assert not out.exists()
    assert len(list(parts.iterdir())) == len(list(parts.glob("0*.npy"))) > 0  # no temporary file stays
    kept = 2 * len(list(parts.iterdir()))
    assert main([*words, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["drawn"] == 300 - kept
    assert main([*words[:3], str(tmp_path / "y.npz"), *words[4:]]) == 0
    assert out.read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_a_full_disk_is_said_and_the_rerun_completes(
    saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    words = ["sample", saved, "--out", str(tmp_path / "x.npz"), "--count", "8", "--batch", "2"]
    rename, left = os.replace, 3

    def full(source: Any, target: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert main(words) == 1
    assert "could not be written ([Errno 28] No space left on device)" in capsys.readouterr().err
    assert len(list((tmp_path / "x.npz.parts").iterdir())) == 2
    assert main(words) == 0
    assert "4 drawn" in capsys.readouterr().out
    assert len(load_samples(tmp_path / "x.npz")) == 8


# -- what is refused before any model is loaded


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x.jpg"], "ends in .jpg; give a .png"),
        (["--out", "file/x.npz"], "file is a file; choose another place"),
        (["--out", "x", "--count", "0"], "count must be at least 1, got 0"),
        (["--out", "x.png", "--count", "5000"], "at most 1024 pictures"),
        (["--out", "x", "--batch", "0"], "batch must be at least 1, got 0"),
        (["--out", "x", "--class", "cat"], "class must be numbers, or all, got cat"),
        (["--out", "x", "--class", "1", "all"], "class must be numbers, or all, got 1 all"),
        (["--out", "x", "--temperature", "-1"], "temperature must be 0 or more"),
        (["--out", "x", "--top-p", "0"], "top_p must be in (0, 1]"),
        (["--out", "x", "--schedule", "linear"], "needs a scale: give --guidance as well"),
        (["--out", "x", "--guidance", "nan"], "guidance must be a finite number"),
        (["--out", "x", "--gif", "x.png"], "must end in .gif"),
        (["--out", "x", "--gif", "file/x.gif"], "file is a file"),
    ],
)
def test_wrong_options_are_refused_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    monkeypatch.setattr(Model, "from_pretrained", None)
    assert main(["sample", "nothing", *words]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("saved", ["--class", "1", "3"], "class 3 is outside 0..2"),
        ("saved", ["--class", "-1"], "class -1 is outside 0..2"),
        ("free", ["--class", "1"], "this model is told no class; leave --class out"),
        ("free", ["--guidance", "2"], "guidance 2 needs a condition"),
        ("saved", ["--device", "warp"], "device 'warp' cannot be used here"),
    ],
)
def test_what_the_model_cannot_do(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: Capture, kind: str, words: list[str], said: str
) -> None:
    assert main(["sample", request.getfixturevalue(kind), "--out", str(tmp_path / "x.npz"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("x.npz*")) or "device" in said


@pytest.mark.parametrize(("world", "expected"), [("1", "cuda:0"), ("4", "cuda:2")])
def test_each_process_takes_its_own_device(
    saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: str, expected: str
) -> None:
    asked: list[str] = []
    choose = command.device

    def watched(name: str, share: Share) -> torch.device:
        asked.append(str(choose(name, share)))
        return torch.device("cpu")

    monkeypatch.setattr(command, "device", watched)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert main(["sample", saved, "--out", str(tmp_path / "x.npz"), "--count", "2"]) == 0
    assert asked == [expected]


def test_models_that_are_told_something_else(tmp_path: Path, capsys: Capture) -> None:
    text = replace(SYSTEM, condition=Text(8, 4))
    source = str(lively(text).save_pretrained(tmp_path / "model"))
    for words in (["sample", source, "--out", str(tmp_path / "x")], ["evaluate", source, "--data", "digits"]):
        assert main(words) == 2
        assert "this model is told Text(dim=8, slots=4); draw with Model.generate" in capsys.readouterr().err


def test_a_model_that_is_told_nothing(free: str, tmp_path: Path) -> None:
    assert main(["sample", free, "--out", str(tmp_path / "x"), "--count", "3", "--guidance", "1"]) == 0
    assert load_samples(tmp_path / "x").labels is None


def test_checkpoints_that_cannot_be_read(saved: str, tmp_path: Path, capsys: Capture) -> None:
    out = ["--out", str(tmp_path / "x.png")]
    assert main(["sample", str(tmp_path / "no" / "such"), *out]) == 2
    assert "neither a folder here nor a hub id" in capsys.readouterr().err
    assert main(["sample", str(tmp_path), *out]) == 2
    assert "has no config.json" in capsys.readouterr().err
    assert main(["sample", *out]) == 2
    assert "say which checkpoint first" in capsys.readouterr().err
    damaged = Model.from_pretrained(saved).save_pretrained(tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert main(["sample", str(damaged), *out]) == 1
    assert "model.safetensors is damaged or cut short" in capsys.readouterr().err
    assert not list(tmp_path.glob("x.png*"))


# -- edit


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


@pytest.mark.parametrize("command", ["sample", "edit", "evaluate", "compare-results"])
def test_every_option_says_what_it_does(command: str, capsys: Capture) -> None:
    assert main([command, "--help"]) == 0
    text = re.sub(r"[^\x00-\x7f]", " ", capsys.readouterr().out)  # without the frame
    options = re.split(r"\n\s+(?=--[a-z])", text)[1:]
    assert options
    for option in options:
        told = re.sub(r"\(default: .*?\)|\(required\)", "", re.sub(r"\s+", " ", option))
        told = re.sub(r"^--\S+( [A-Z]+| \{.*?\}(\|[A-Z]+)?| \[.*?\.\.\.\]\]| \[STR \[STR \.\.\.\]\])?", "", told)
        assert re.search(r"[A-Za-z]{2,} ?\S", told), option


@pytest.fixture(scope="session")
def any_order(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that goes in any order, and at any size."""
    return str(lively(tiny("randar")).save_pretrained(tmp_path_factory.mktemp("checkpoints") / "any"))


def test_steps_and_size_are_options(any_order: str, saved: str, tmp_path: Path, capsys: Capture) -> None:
    """They are part of the job; a model that has no choice says so."""
    words = ["sample", any_order, "--count", "2", "--size", "6", "8"]
    assert main([*words, "--steps", "3", "--out", str(tmp_path / "a.npz")]) == 0
    assert main([*words, "--steps", "8", "--out", str(tmp_path / "b.npz")]) == 0
    few, many = (load_samples(tmp_path / name).images(0, 2) for name in ("a.npz", "b.npz"))
    assert few.shape == many.shape == (2, 1, 6, 8)
    assert not torch.equal(few, many)
    capsys.readouterr()
    assert main(["sample", saved, "--steps", "3", "--out", str(tmp_path / "c.npz")]) == 2
    assert "steps: the order Raster()" in capsys.readouterr().err


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
