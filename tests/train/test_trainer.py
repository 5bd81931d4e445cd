"""The loop: resuming, stopping, failing, and what is left on disk each time."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import nextset
from nextset import NextsetError, System, UsageError
from nextset.train import Trainer
from nextset.train.journal import read_log
from nextset.train.state import FILE

Make = Callable[..., Trainer]


def contents(folder: Path) -> dict[str, torch.Tensor]:
    """Everything that a run keeps: weights, average, moments."""
    return load_file(folder / FILE)


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert torch.equal(value, right[key]), key


def stop_at(trainer: Trainer, step: int, act: Callable[[], Any]) -> None:
    """Has `act` happen once step `step` is done."""
    report = trainer._report

    def watched(*arguments: Any) -> None:
        report(*arguments)
        if trainer.done == step:
            act()

    trainer._report = watched  # type: ignore[method-assign]


def test_twenty_steps_are_ten_and_a_resume_and_ten(trainer: Make, tmp_path: Path) -> None:
    """Bit for bit: weights, average, moments and log, with dropout, dropped conditions, warm-up and cosine."""
    assert trainer("whole").run() == 0
    halfway = trainer("halves")
    stop_at(halfway, 10, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert halfway.run() == signal.SIGTERM
    assert trainer("halves", resume=True).run() == 0
    assert_same(contents(tmp_path / "whole"), contents(tmp_path / "halves"))
    assert read_log(tmp_path / "whole") == read_log(tmp_path / "halves")


def test_the_loss_falls_and_the_average_is_what_is_saved(trainer: Make, tmp_path: Path) -> None:
    trainer().run()
    log = read_log(tmp_path / "run")
    assert [entry["step"] for entry in log] == list(range(1, 21))
    assert log[-1]["loss"] < 0.95 * log[0]["loss"]
    saved = nextset.load(tmp_path / "run").network.state_dict()
    state = contents(tmp_path / "run")
    assert all(torch.equal(value, state[f"network/average/{key}"]) for key, value in saved.items())
    assert not torch.equal(saved["wiring.embed.weight"], state["network/model/wiring.embed.weight"])


def test_accumulated_parts_make_the_same_step(trainer: Make, tmp_path: Path, system: System) -> None:
    """Up to the rounding of sums: 4 parts of 2 against 1 of 8, without dropout, whose draws would differ."""
    plain = replace(
        system,
        backbone=replace(system.backbone, dropout=0.0),
        condition=replace(system.condition, dropout=0.0),
    )
    losses = []
    for parts in (1, 4):
        trainer(f"parts{parts}", plain, steps=5, accumulate=parts).run()
        losses.append([entry["loss"] for entry in read_log(tmp_path / f"parts{parts}")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_bfloat16_products_keep_the_loss_near(trainer: Make, tmp_path: Path) -> None:
    """8 bits of mantissa: the mean loss moves by far less than its 0.4% of resolution times a few layers."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        trainer(precision, steps=5, precision=precision).run()
        losses[precision] = [entry["loss"] for entry in read_log(tmp_path / precision)]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


def test_checkpointed_activations_change_nothing(trainer: Make, tmp_path: Path) -> None:
    for name, on in (("kept", False), ("again", True)):
        trainer(name, steps=4, checkpointing=on).run()
    assert_same(contents(tmp_path / "kept"), contents(tmp_path / "again"))


def test_nan_names_layer_and_step_and_loses_nothing(trainer: Make, tmp_path: Path) -> None:
    run = trainer()
    weight = run.tracks[0].raw.get_parameter("backbone.blocks.1.feedforward.fall.weight")
    before: dict[str, torch.Tensor] = {}

    def poison() -> None:
        before.update({k: v.clone() for k, v in run.tracks[0].raw.state_dict().items()})
        with torch.no_grad():
            weight[0, 0] = torch.nan

    stop_at(run, 3, poison)
    with pytest.raises(NextsetError, match=r"step 3 .*layer 'backbone\.blocks\.1\.feedforward\.fall'"):
        run.run()
    state = contents(tmp_path / "run")
    kept = state["network/model/backbone.blocks.0.mixer.qkv.weight"]
    assert torch.equal(kept, before["backbone.blocks.0.mixer.qkv.weight"])
    assert json.loads((tmp_path / "run" / "config.json").read_text())["nextset"]


def test_a_full_disk_keeps_the_last_save(trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(save_every=5)
    move = os.replace

    def full(source: str, target: Any) -> None:
        if run.done > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        move(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(NextsetError, match="could not be written.*No space left"):
        run.run()
    monkeypatch.undo()
    resumed = trainer(resume=True)
    assert resumed.done == 5
    assert not list((tmp_path / "run").glob(".*")), "temporary files were left"
    assert resumed.run() == 0


def test_a_second_signal_stops_at_once(trainer: Make) -> None:
    run = trainer()

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    stop_at(run, 2, twice)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_folder_with_a_run_is_not_overwritten(trainer: Make) -> None:
    trainer(steps=1).run()
    with pytest.raises(UsageError, match="holds a run already.*--resume"):
        trainer(steps=1)


def test_resuming_something_else_is_refused(trainer: Make, system: System) -> None:
    trainer(steps=1).run()
    with pytest.raises(UsageError, match="trained something else: system"):
        trainer(system=replace(system, backbone=replace(system.backbone, depth=1)), resume=True)


def test_resuming_nothing_is_refused(trainer: Make) -> None:
    with pytest.raises(UsageError, match=r"has no state\.safetensors"):
        trainer(resume=True)


def test_a_damaged_state_is_named(trainer: Make, tmp_path: Path) -> None:
    trainer(steps=1).run()
    path = tmp_path / "run" / FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(NextsetError, match=r"state\.safetensors is damaged"):
        trainer(resume=True)


def test_a_changed_recipe_is_said(trainer: Make) -> None:
    trainer(steps=1).run()
    with pytest.warns(UserWarning, match=r"steps 1 -> 2, lr 0\.003 -> 0\.0001"):
        resumed = trainer(resume=True, steps=2, lr=1e-4)
    assert resumed.run() == 0


def test_the_log_is_cut_where_the_resumed_step_is(trainer: Make, tmp_path: Path) -> None:
    """A crash after the last save leaves entries of steps that are taken again."""
    trainer(steps=6, save_every=4).run()
    log = tmp_path / "run" / "log.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines, '{"step": 7, "loss": 1.0}', '{"step": 8, "lo']))
    with pytest.warns(UserWarning, match="steps 6 -> 7"):
        resumed = trainer(resume=True, steps=7)
    resumed.run()
    assert [entry["step"] for entry in read_log(tmp_path / "run")] == [1, 2, 3, 4, 5, 6, 7]


def test_held_out_loss_samples_and_tensorboard_are_written(trainer: Make, tmp_path: Path) -> None:
    trainer(steps=4, eval_every=2, sample_every=2, log_every=4).run()
    held = [entry["held_out_loss"] for entry in read_log(tmp_path / "run")]
    assert len(held) == 2
    assert all(0 < value < 3 for value in held)
    assert [p.name for p in sorted((tmp_path / "run" / "samples").iterdir())] == [
        "step-0000002.png",
        "step-0000004.png",
    ]
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_a_rehearsal_measures_and_writes_nothing(trainer: Make, tmp_path: Path) -> None:
    start = time.perf_counter()
    seconds = trainer().rehearse(2)
    assert 0 < seconds < time.perf_counter() - start
    assert not (tmp_path / "run").exists()
