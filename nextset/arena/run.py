"""The whole of a contest: what is asked is checked, terms are settled, runs are spread over processes, what came of them is read.

What is done is not done again, also in the middle of a run. What failed is told, and tried again only where that is asked for.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..errors import NextsetError, UsageError
from ..system import System
from ..train import Recipe
from .budget import fitted, training_cost
from .contest import Contest, Register, Terms
from .duration import duration, seconds_a_step
from .entrant import Entrant, clocked, stage
from .entry import RUN, TIMES, Entry, Run, entry
from .judging import looks
from .workers import Call, Failed, spread

LOG = "log.txt"


def run(
    contest: Contest,
    systems: Mapping[str, System],
    out: Path,
    *,
    seeds: int = 1,
    jobs: int = 1,
    retry: bool = False,
    misfits: Mapping[str, str] | None = None,
) -> list[Entry]:
    """Trains and judges `systems` below `out`, each from `seeds` seeds, `jobs` at a time; returns what came of all that `out` holds.

    `misfits` are others that cannot take part, and why (`lineup` tells both). With `retry` what failed before is tried again, from
    where it stopped. A script calls this under `if __name__ == "__main__"`, since processes import it.
    Raises UsageError for what cannot begin: no system, no seed, no job, a folder of another contest or another system of a name.
    """
    _check(systems, misfits or {}, seeds, jobs)
    register = Register.opened(contest, out)
    _look(contest, systems)
    _admit(register, systems, misfits or {})
    threads = max(1, torch.get_num_threads() // jobs)
    if register.terms is None:
        register.terms = _settled(register, jobs, threads)
    register.save()
    numbers = [contest.seed + k for k in range(seeds)]
    taking_part = [name for name in systems if name in register.entrants]
    _train(register, taking_part, numbers, (jobs, threads), retry)
    _clock(register, taking_part, numbers)
    return [
        *(entry(name, str(system), register.folder(name), numbers) for name, system in register.entrants.items()),
        *(Entry(name, "", misfit=why) for name, why in register.misfits.items()),
    ]


def _check(systems: Mapping[str, System], misfits: Mapping[str, str], seeds: int, jobs: int) -> None:
    if not systems:
        why = "; ".join(f"{name}: {told}" for name, told in misfits.items())
        raise UsageError(f"systems: there is none that can take part ({why or 'none is named'})")
    for name in systems:
        if not re.fullmatch(r"\w[\w./-]*", name):
            raise UsageError(f"systems: {name!r} is no name for a folder; use letters, digits, _ . / and -")
    for what, count in (("seeds", seeds), ("jobs", jobs)):
        if count < 1:
            raise UsageError(f"{what} must be at least 1, got {count}")


def _look(contest: Contest, systems: Mapping[str, System]) -> None:
    """Makes ready what judges, which all processes then read. Raises UsageError where it cannot see what the systems draw."""
    shapes = {(system.tokenizer.channels, *system.size) for system in systems.values()}
    if len(shapes) > 1:
        raise UsageError(f"systems must draw pictures of one shape (channels, height, width), got {sorted(shapes)}")
    (shape,) = shapes
    looks(contest, shape)


def _admit(register: Register, systems: Mapping[str, System], misfits: Mapping[str, str]) -> None:
    """Finds the width and depth of those who are new."""
    register.misfits |= misfits
    for name, system in systems.items():
        if register.named.setdefault(name, system) != system:
            changes = register.named[name].changes(system)
            raise UsageError(f"out: {register.out} holds another {name} ({changes}); choose another folder")
        if name in register.entrants:
            continue
        try:
            register.entrants[name] = fitted(system, register.contest.parameters)
            register.misfits.pop(name, None)
        except UsageError as error:
            register.misfits[name] = str(error)
    if not any(name in register.entrants for name in systems):
        why = "; ".join(f"{name}: {told}" for name, told in register.misfits.items())
        raise UsageError(f"systems: none of them can take part ({why})")


def _settled(register: Register, jobs: int, threads: int) -> Terms:
    """What the first system's training is in multiply-adds; where a time is given, as many as it does while `jobs` of it run."""
    contest, (first, system) = register.contest, next(iter(register.entrants.items()))
    cost = training_cost(system) * contest.batch
    if contest.steps:
        return Terms(first, contest.steps, cost * contest.steps, 0.0)
    recipe = Recipe(1000, contest.batch, lr=contest.lr, ema=0.99, seed=contest.seed)
    call = partial(Call, seconds_a_step, (system, contest.data, recipe))
    calls = {f"pace {job}": call(register.out / LOG) for job in range(jobs)}
    measured = dict(spread(calls, jobs, threads, lambda _: None))
    for found in measured.values():
        if isinstance(found, Failed):
            raise NextsetError(f"the first system, {first}, cannot be trained ({found.why}); see {register.out / LOG}")
    seconds = sum(measured.values()) / jobs
    steps = max(1, round(duration(contest.budget) / seconds))
    return Terms(first, steps, cost * steps, cost / seconds)


def _train(register: Register, names: list[str], seeds: list[int], work: tuple[int, int], retry: bool) -> None:
    """Every run that is not done; by seeds first, so that an early stop leaves everybody with as many."""
    assert register.terms is not None, "settled before"
    entrants: dict[str, Entrant] = {}
    for seed in seeds:
        for name in names:
            folder = register.folder(name) / f"seed-{seed}"
            if _open(folder, retry):
                entrants[f"{name} seed {seed}"] = Entrant(
                    register.contest, register.entrants[name], seed, register.terms.compute, folder
                )
    calls = {name: Call(Entrant.run, (entrant,), entrant.folder / LOG) for name, entrant in entrants.items()}
    with _Progress(len(calls), "runs") as progress:

        def watch(names: list[str]) -> None:
            steps = register.contest.tokenizer_steps
            progress.now(", ".join(f"{name}: {stage(entrants[name].folder, steps)}" for name in names))

        with contextlib.closing(spread(calls, *work, watch)) as results:
            for name, found in results:
                entrant = entrants[name]
                result = Run(entrant.seed, failed=found.why) if isinstance(found, Failed) else found
                result.save(entrant.folder)
                progress.done(f"{name}: {result.failed or 'done'}")


def _open(folder: Path, retry: bool) -> bool:
    """Whether a run is still to be done."""
    return not (folder / RUN).is_file() or (retry and bool(Run.loaded(folder).failed))


def _clock(register: Register, names: list[str], seeds: list[int]) -> None:
    """Times of those that have none, one after the other on all threads, when nothing else runs here."""
    calls = {}
    for name in names:
        folder = register.folder(name)
        finished = entry(name, "", folder, seeds).finished
        if finished and not (folder / TIMES).is_file():
            first = finished[0]
            place = folder / f"seed-{first.seed}"
            assert register.terms is not None, "settled before"
            entrant = Entrant(register.contest, register.entrants[name], first.seed, register.terms.compute, place)
            calls[name] = Call(clocked, (entrant, float(first.figures["guidance"]), folder), place / LOG)
    with _Progress(len(calls), "clocked") as progress:
        results = spread(calls, 1, torch.get_num_threads(), lambda names: progress.now(", ".join(names)))
        with contextlib.closing(results):
            for name, found in results:
                progress.done(f"{name}: could not be clocked: {found.why}" if isinstance(found, Failed) else "")


class _Progress:
    """A bar of what is done and what goes on; lines of what is worth telling, also where nobody sees bars."""

    def __init__(self, total: int, what: str) -> None:
        self.bar = tqdm(total=total, desc=what, disable=None if total else True, dynamic_ncols=True)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: Any) -> None:
        self.bar.close()

    def now(self, text: str) -> None:
        self.bar.set_postfix_str(text)

    def done(self, text: str) -> None:
        self.bar.update()
        if text:
            tqdm.write(text, file=sys.stderr)
