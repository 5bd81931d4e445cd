"""Jobs end in the same files whatever happens on the way: other batches, several processes, interruptions, full disks."""

from __future__ import annotations

import errno
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nextset import Model, NextsetError, UsageError
from nextset.conditions import Unconditional
from nextset.decode import Constant
from nextset.evaluate import load_samples, save_grid, save_npz
from nextset.sampling import Job, Share, draw, identity, output
from tests.laws.toys import lively, tiny

JobOf = Callable[..., Job]
KINDS = ("x.npz", "x.png", "x")


def content(path: Path) -> dict[str, bytes]:
    """Every file at or below a path."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def watched(model: Model, monkeypatch: pytest.MonkeyPatch, stop: int | None = None) -> list[int]:
    """The numbers of the pictures that the model draws from now on; the call number `stop` is interrupted."""
    drawn: list[int] = []
    calls = 0
    generate = Model.generate

    def watch(self: Model, *args: Any, **kwargs: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if stop is not None and calls > stop:
            raise KeyboardInterrupt
        drawn.extend(range(kwargs["first"], kwargs["first"] + kwargs["count"]))
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(Model, "generate", watch)
    return drawn


@pytest.fixture(scope="module")
def whole(model: Model, job_of: JobOf, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Each kind of output, drawn by one process in batches of 7."""
    folder = tmp_path_factory.mktemp("whole")
    for kind in KINDS:
        assert draw(model, job_of(), output(folder / kind), 7).missing == 0
    return {kind: content(folder / kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_processes_and_batches_change_nothing(
    model: Model, job_of: JobOf, whole: dict[str, dict[str, bytes]], tmp_path: Path, kind: str
) -> None:
    done = [draw(model, job_of(), output(tmp_path / kind), 4, Share(rank, 3)) for rank in (2, 0, 1)]
    assert [d.count for d in done] == [8, 12, 10]
    assert [d.missing for d in done] == [22, 10, 0]
    assert content(tmp_path / kind) == whole[kind]
    assert not (tmp_path / f"{kind}.parts").exists()


@pytest.mark.parametrize("kind", ["x.npz", "x"])
def test_processes_at_once(
    model: Model, job_of: JobOf, whole: dict[str, dict[str, bytes]], tmp_path: Path, kind: str
) -> None:
    context = multiprocessing.get_context("fork")
    work = lambda rank: draw(model, job_of(), output(tmp_path / kind), 4, Share(rank, 3))
    processes = [context.Process(target=work, args=(rank,)) for rank in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert content(tmp_path / kind) == whole[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_job_goes_on(
    model: Model,
    job_of: JobOf,
    whole: dict[str, dict[str, bytes]],
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        before = watched(model, patch, stop=2)
        with pytest.raises(KeyboardInterrupt):
            draw(model, job_of(), output(tmp_path / kind), 7)
    with monkeypatch.context() as patch:
        after = watched(model, patch)
        draw(model, job_of(), output(tmp_path / kind), 4)
        assert before == list(range(14))
        assert after == list(range(14, 30))
        assert content(tmp_path / kind) == whole[kind]
        again = draw(model, job_of(), output(tmp_path / kind), 4)
        assert (again.count, again.missing, len(after)) == (0, 0, 16)
    assert content(tmp_path / kind) == whole[kind]


def test_a_picture_lost_from_a_folder_is_drawn_again(
    model: Model, job_of: JobOf, whole: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    draw(model, job_of(), output(tmp_path / "x"))
    (tmp_path / "x" / "1" / "000010.png").unlink()
    assert draw(model, job_of(), output(tmp_path / "x")).count == 1
    assert content(tmp_path / "x") == whole["x"]


def test_pictures_and_labels_come_back(model: Model, job_of: JobOf, tmp_path: Path) -> None:
    job = job_of(classes=(2, 0), count=11)
    direct = model.generate(job.labels(range(11)), seed=job.seed)
    for kind in ("x.npz", "x"):
        draw(model, job, output(tmp_path / kind), 3)
        samples = load_samples(tmp_path / kind)
        assert samples.labels is not None
        assert samples.labels.tolist() == [2, 0] * 5 + [2]
        assert (samples.images(0, 11) - direct).abs().max() < 0.51 / 127.5  # half a step of 8 bits
    save_npz(direct, tmp_path / "direct.npz", job.labels(range(11)))
    assert (tmp_path / "direct.npz").read_bytes() == (tmp_path / "x.npz").read_bytes()
    draw(model, job, output(tmp_path / "x.png"), 3)
    save_grid(direct, tmp_path / "direct.png", columns=2)
    assert (tmp_path / "direct.png").read_bytes() == (tmp_path / "x.png").read_bytes()


def test_models_without_classes(tmp_path: Path, job_of: JobOf) -> None:
    model = lively(replace(tiny("llamagen"), condition=Unconditional()))
    job = job_of(model=identity(model), classes=(), count=5, guidance=Constant())
    for kind in ("x.npz", "x"):
        draw(model, job, output(tmp_path / kind), 2)
        assert load_samples(tmp_path / kind).labels is None
    assert sorted(p.name for p in (tmp_path / "x").glob("*.png")) == [f"{i:06d}.png" for i in range(5)]
    with np.load(tmp_path / "x.npz") as file:
        assert file.files == ["arr_0"]


@pytest.mark.parametrize("kind", KINDS)
def test_another_job_does_not_mix_in(model: Model, job_of: JobOf, tmp_path: Path, kind: str) -> None:
    draw(model, job_of(), output(tmp_path / kind))
    before = content(tmp_path / kind)
    with pytest.raises(UsageError, match=r"other settings \(seed was 5, is 6\); repeat those, choose another --out"):
        draw(model, job_of(seed=6), output(tmp_path / kind))
    assert content(tmp_path / kind) == before
    output(tmp_path / kind).record.unlink()
    with pytest.raises(UsageError, match="nothing says how it was drawn"):
        draw(model, job_of(), output(tmp_path / kind))
    output(tmp_path / kind).record.write_text('{"type": "sampl')
    with pytest.raises(NextsetError, match=r"json cannot be read"):
        draw(model, job_of(), output(tmp_path / kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_loses_nothing(
    model: Model,
    job_of: JobOf,
    whole: dict[str, dict[str, bytes]],
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os

    replace_file, left = os.replace, 3

    def full(source: Any, target: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(NextsetError, match="could not be written .*No space left"):
            draw(model, job_of(), output(tmp_path / kind), 7)
    after = watched(model, monkeypatch)
    draw(model, job_of(), output(tmp_path / kind), 7)
    kept = (
        2 if kind == "x" else 14
    )  # the record took one of the three files; a file is a picture in a folder, else a batch
    assert after == list(range(kept, 30))
    assert content(tmp_path / kind) == whole[kind]


def test_whoever_comes_second_finds_the_file_done(
    model: Model, job_of: JobOf, whole: dict[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process renames the file and removes the parts while this one reads them."""
    mine, other, job = output(tmp_path / "x.npz"), output(tmp_path / "x.npz"), job_of()
    for first in (0, 15):
        mine.write(job, first, model.generate(job.labels(range(first, first + 15)), seed=job.seed, first=first))
    load = np.load

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(np, "load", load)
        assert other.finish(job) == 0
        return load(*args, **kwargs)

    monkeypatch.setattr(np, "load", late)
    assert mine.finish(job) == 0
    assert content(tmp_path / "x.npz") == whole["x.npz"]
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_a_damaged_part_is_named(model: Model, job_of: JobOf, tmp_path: Path) -> None:
    draw(model, job_of(count=8), output(tmp_path / "x.npz"), 4, Share(0, 2))
    part = tmp_path / "x.npz.parts" / "000000-000004.npy"
    part.write_bytes(part.read_bytes()[:-5])
    with pytest.raises(NextsetError, match=r"000000-000004\.npy is damaged .*remove it and run"):
        draw(model, job_of(count=8), output(tmp_path / "x.npz"), 4, Share(1, 2))
    part.unlink()
    assert draw(model, job_of(count=8), output(tmp_path / "x.npz"), 4).missing == 0


def test_what_fails_while_drawing_is_said(
    model: Model, job_of: JobOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Model, *args: Any, **kwargs: Any) -> Tensor:
        if kwargs["first"]:
            raise torch.OutOfMemoryError
        images = torch.zeros(kwargs["count"], 1, 4, 4)
        images[3] = torch.nan
        return images

    monkeypatch.setattr(Model, "generate", broken)
    with pytest.raises(NextsetError, match="sample 3 holds NaN"):
        draw(model, job_of(), output(tmp_path / "x.npz"), 7)
    with pytest.raises(NextsetError, match="does not hold a batch of 6; use a smaller --batch"):
        draw(model, job_of(), output(tmp_path / "x.npz"), 6, Share(1, 2))


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    for name in ("x.jpg", "x.npz.gz"):
        with pytest.raises(UsageError, match=r"give a \.png \(one grid\), an \.npz, or a folder"):
            output(tmp_path / name)
    assert output(tmp_path / "guidance-1.5").path.name == "guidance-1.5"  # a number is no ending
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for name in ("file", "folder.png"):
        with pytest.raises(UsageError, match="already; choose another name"):
            output(tmp_path / name)
    with pytest.raises(UsageError, match="file is a file; choose another place"):
        output(tmp_path / "file" / "deep" / "x.npz").check(1)
    with pytest.raises(UsageError, match="at most 1024 pictures; write 1025"):
        output(tmp_path / "x.png").check(1025)
