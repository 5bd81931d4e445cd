"""`nextset sample` as a user meets it: files, words, exit codes."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from nextset import Model
from nextset.cli import command, main
from nextset.conditions import Text
from nextset.data.crop import to_float
from nextset.decode import Pick
from nextset.evaluate import load_samples
from nextset.evaluate.samples import to_uint8
from nextset.sampling import Job, Share, recorded
from tests.laws.toys import lively, tiny

SYSTEM = tiny("llamagen")
Capture = pytest.CaptureFixture[str]


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


def test_captions_take_turns(captioned: str, tmp_path: Path) -> None:
    assert main(["sample", captioned, "--out", str(tmp_path / "x.npz"), "--prompt", "a b", "b", "--count", "3"]) == 0
    model = Model.from_pretrained(captioned)
    assert torch.equal(
        load_samples(tmp_path / "x.npz").images(0, 3), to_float(to_uint8(model.generate(["a b", "b", "a b"])).numpy())
    )


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
        ("saved", ["--prompt", "a b"], "no captions; leave --prompt out"),
        ("captioned", ["--prompt", "a", "a c"], "caption 'a c' has the unknown word 'c'"),
        ("captioned", ["--class", "1"], "this model is told no class"),
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
