"""Calls in processes of their own: what breaks one of them breaks nothing else, and a stop leaves all of them as they can be resumed.

Processes come from a fork server, which has imported what they need and started no thread. They are in process groups of their own,
so that Ctrl-C is their parent's alone to hear; it asks each of them once to stop (SIGTERM), and a second Ctrl-C kills them. A process
whose parent is gone stops by itself.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from ..train.guard import Diverged

BEAT = 0.5  # seconds between two looks at what goes on
# all that a run imports; each of these is slow
PRELOADED = ["nextset.arena.entrant", "accelerate", "torch.utils.tensorboard", "torch._dynamo", "sklearn.datasets"]


@dataclass(frozen=True)
class Call:
    """`run(*arguments)`, to be pickled; what it prints is added to the file `log`."""

    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    log: Path


@dataclass(frozen=True)
class Failed:
    """What a call came to that did not return."""

    why: str


def spread(
    calls: Mapping[str, Call], jobs: int, threads: int, watch: Callable[[list[str]], None]
) -> Generator[tuple[str, Any], None, None]:
    """Name and result of each call, or `Failed`, as they come in; `jobs` run at a time, on so many `threads` each.

    `watch` is told twice a second which run. Closing the iterator, as an exception does, stops what runs and waits for it.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(PRELOADED)
    waiting, running = list(calls), dict[Connection, tuple[str, BaseProcess]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                pipe, process = _started(context, calls[name], threads)
                running[pipe] = name, process
            ready = wait(list(running), timeout=BEAT)
            for pipe in [pipe for pipe in running if pipe in ready]:
                name, process = running[pipe]
                found = _outcome(pipe, process)
                del running[pipe]
                yield name, found
            watch([name for name, _ in running.values()])
    finally:
        _stop([process for _, process in running.values()])


def _started(context: Any, call: Call, threads: int) -> tuple[Connection, BaseProcess]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, call, threads), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return ours, process


def _outcome(pipe: Connection, process: BaseProcess) -> Any:
    try:
        found = pipe.recv()
    except (EOFError, OSError):
        found = None
    pipe.close()
    process.join()
    return Failed(_death(process.exitcode)) if found is None else found[0]


def _death(code: int | None) -> str:
    number = -code if code is not None and code < 0 else (code or 0) - 128
    with contextlib.suppress(ValueError):
        return f"crashed: the process was ended by {signal.Signals(number).name}"
    return f"crashed: the process ended with exit code {code}"


def _stop(processes: list[BaseProcess]) -> None:
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        raise


# -- in the process


def _child(pipe: Connection, call: Call, threads: int) -> None:
    os.setpgrp()
    call.log.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(call.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for told in (1, 2):
        os.dup2(log, told)
    faulthandler.enable()
    threading.Thread(target=_follow, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        found = call.run(*call.arguments)
    except Exception as error:
        traceback.print_exc()
        found = Failed(why(error))
    pipe.send((found,))


def _follow() -> None:
    """Stops this process when its parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def why(error: Exception) -> str:
    """One line for a table."""
    if isinstance(error, Diverged):
        return f"diverged at step {error.step}"
    first = str(error).splitlines()[0] if str(error) else ""
    return f"crashed: {type(error).__name__}" + (f": {first}" if first else "")
