"""Several processes on one machine: copies (DDP) and shards (FSDP2) take the steps that one process takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nextset.cli import main
from nextset.train.journal import read_log

WORDS = (
    "train llamagen/tiny --data digits --system.condition.classes 10 --system.condition.dropout 0 --system.backbone.dropout 0 "
    "--steps 6 --batch 8 --warmup 2 --log-every 1 --sample-every 3 --eval-every 3"
)
TRAIN = WORDS.split()


def launch(folder: Path, *more: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """`torchrun` with gloo."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "nextset", *TRAIN, "--out", str(folder), *more]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=90)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """The log of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert main([*TRAIN, "--out", str(folder)]) == 0
    return read_log(folder)


@pytest.mark.parametrize("how", [(), ("--shard",)], ids=["copies", "shards"])
def test_two_processes_take_the_steps_of_one(
    how: tuple[str, ...], alone: list[dict[str, float]], tmp_path: Path
) -> None:
    """Without dropout only the rounding of sums differs: all figures agree to 1e-4."""
    done = launch(tmp_path / "run", *how)
    assert done.returncode == 0, done.stderr[-3000:]
    log = read_log(tmp_path / "run")
    assert [entry["step"] for entry in log] == [1, 2, 3, 4, 5, 6]
    for mine, other in zip(alone, log, strict=True):
        assert other.keys() == mine.keys()
        assert other == pytest.approx(mine, rel=1e-4)
    more = launch(tmp_path / "run", *how, "--steps", "8", "--resume")
    assert more.returncode == 0, more.stderr[-3000:]
    assert read_log(tmp_path / "run")[-1]["step"] == 8
    assert main(["sample", str(tmp_path / "run"), "--count", "2", "--out", str(tmp_path / "x.png")]) == 0


def test_a_signal_saves_and_exits_with_its_number(tmp_path: Path) -> None:
    """What a cluster does before it takes the machine away."""
    command = [sys.executable, "-m", "nextset", *TRAIN, "--steps", "100000", "--out", str(tmp_path / "run"), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(read_log(tmp_path / "run")) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "Traceback" not in errors
    step = json.loads(told)["step"]
    assert 3 <= step < 100000
    assert main([*TRAIN, "--out", str(tmp_path / "run"), "--resume", "--steps", str(step + 2)]) == 0
    assert read_log(tmp_path / "run")[-1]["step"] == step + 2
