"""Calls in processes: results as they come, deaths told, stops that reach everybody once."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import torch

from nextset.arena.workers import Call, Failed, spread


def _threads(number: int) -> tuple[int, int]:
    print("heard", number)
    return number, torch.get_num_threads()


def _dies(code: int) -> None:
    os._exit(code)


def _lasts(ready: Path, stopped: Path) -> None:
    def stop(number: int, frame: object) -> None:
        with stopped.open("a") as file:
            file.write(f"{number}\n")
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    ready.touch()
    time.sleep(60)


def test_results_and_deaths(tmp_path: Path) -> None:
    """What is printed goes to the log of the call."""
    calls = {f"call {k}": Call(_threads, (k,), tmp_path / f"{k}.txt") for k in range(3)}
    calls |= {"dies": Call(_dies, (3,), tmp_path / "dies.txt")}
    found = dict(spread(calls, 2, 3, lambda names: None))
    assert found.pop("dies") == Failed("crashed: the process ended with exit code 3")
    assert found == {f"call {k}": (k, 3) for k in range(3)}
    assert (tmp_path / "2.txt").read_text() == "heard 2\n"


def test_a_stop_reaches_what_runs_once_and_waits(tmp_path: Path) -> None:
    ready, stopped = tmp_path / "ready", tmp_path / "stopped"

    def watch(names: list[str]) -> None:
        if ready.exists():
            raise KeyboardInterrupt

    start = time.perf_counter()
    calls = {name: Call(_lasts, (ready, stopped), tmp_path / "log.txt") for name in ("first", "second")}
    try:
        with closing(spread(calls, 1, 1, watch)) as results:
            list(results)
    except KeyboardInterrupt:
        assert stopped.read_text() == f"{int(signal.SIGTERM)}\n"
    else:
        raise AssertionError("nobody stopped")
    assert time.perf_counter() - start < 50
