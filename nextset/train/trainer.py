"""The loop: batches in, steps of every phase, averages, reports, atomic saves, clean stops.

Everything random in step k follows from (seed, k), so a resumed run on one device continues bit for bit.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from ..data.loader import Batch, Loader
from ..errors import UsageError, need
from ..noise import mix
from . import state
from .average import Average
from .guard import check_finite
from .journal import Journal
from .phase import Phase, Trainee, optimiser
from .recipe import Options, Recipe


@dataclass
class Track:
    """A phase prepared for its devices."""

    phase: Phase
    raw: nn.Module
    wrapped: nn.Module
    optimizer: Any
    average: Average | None


class Trainer:
    """Trains `trainee` on `train`, judged on `held_out` (None: not judged); `about` goes into the state's header."""

    def __init__(
        self,
        trainee: Trainee,
        recipe: Recipe,
        options: Options,
        train: Loader,
        held_out: Loader | None,
        about: dict[str, Any],
    ) -> None:
        self.trainee, self.recipe, self.options = trainee, recipe, options
        self.loader, self.held_out, self.about = train, held_out, about
        self.accelerator = accelerator(recipe, options)
        self.tracks = [self._track(phase) for phase in trainee.phases]
        self.start = self._resume() if options.resume else 0
        self.stopped: int | None = None

    def run(self) -> int | None:
        """Trains to the last step, or until a signal asks to stop; returns the signal's number then."""
        main = self.accelerator.is_main_process
        self.journal = Journal(self.options.out, self.start, self.recipe.steps, self.recipe.batch, main)
        done = self.start
        try:
            with self._signals():
                for step, batch in enumerate(self.loader.batches(self.start), self.start):
                    if step >= self.recipe.steps or self._asked_to_stop():
                        break
                    figures = self._step(step, batch)
                    done = step + 1
                    self._report(done, figures, batch)
        except BaseException:
            self._save_quietly(done)
            raise
        else:
            self._save(done)
        finally:
            self.journal.close()
        return self.stopped if done < self.recipe.steps else None

    # -- one step

    def _step(self, step: int, batch: Batch) -> dict[str, float]:
        figures: dict[str, float] = {"lr": self.recipe.rate(step)}
        for track in self.tracks:
            figures |= self._optimise(track, step, batch)
            if track.average is not None:
                track.average.update(self.recipe.decay(step))
        return figures | self.trainee.after(step)

    def _optimise(self, track: Track, step: int, batch: Batch) -> dict[str, float]:
        track.raw.train()
        track.optimizer.zero_grad(set_to_none=True)
        totals: dict[str, Tensor] = {}
        parts = batch.split(self.recipe.accumulate)
        for index, part in enumerate(parts):
            seed = mix(self.recipe.seed, step, index, self.accelerator.process_index, track.phase.name)
            inputs = track.phase.inputs(part.to(self.accelerator.device), step, seed)
            last = index + 1 == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(track.wrapped):
                found = self._forward(track, inputs, seed)
                check_finite(
                    found["loss"].item(), "the loss", step, track.raw, lambda: self._forward(track, inputs, seed)
                )
                self.accelerator.backward(found["loss"] / len(parts))
            for name, value in found.items():
                totals[name] = totals.get(name, 0) + value.detach().mean() / len(parts)
        norm = nn.utils.clip_grad_norm_(track.raw.parameters(), self.recipe.clip or float("inf"))
        check_finite(float(norm), "the gradient", step, track.raw, lambda: self._forward(track, inputs, seed))
        for group in track.optimizer.param_groups:
            group["lr"] = self.recipe.rate(step)
        track.optimizer.step()
        own = "" if track is self.tracks[0] else f"{track.phase.name}_"
        return {f"{own}{k}": float(v) for k, v in totals.items()} | {f"{own}grad_norm": float(norm)}

    def _forward(self, track: Track, inputs: tuple[Any, ...], seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)  # dropout of a step follows from its number, not from what was drawn before
        with self.accelerator.autocast():
            found: dict[str, Tensor] = track.wrapped(*inputs)
        return found

    # -- reports and saves

    def _report(self, done: int, figures: dict[str, float], batch: Batch) -> None:
        every, last = self.options, done == self.recipe.steps
        self.journal.step()
        if every.eval_every and self.held_out and (done % every.eval_every == 0 or last):
            figures["held_out_loss"] = self._judge()
        if done % every.log_every == 0 or last or "held_out_loss" in figures:
            self.journal.figures(done, figures)
        if every.sample_every and not every.shard and (done % every.sample_every == 0 or last):
            with self._averaged(), torch.no_grad():
                self.journal.picture(done, self.trainee.picture(batch.to(self.accelerator.device)))
        if done % every.save_every == 0 and not last:
            self._save(done)

    def _judge(self) -> float:
        assert self.held_out is not None
        track, device = self.tracks[0], self.accelerator.device
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        with self._averaged(), torch.no_grad():
            track.raw.eval()
            for batch in self.held_out.once():
                found = self._forward(track, track.phase.inputs(batch.to(device), 0, 0), 0)
                sums += torch.stack([found["loss"].double() * len(batch), torch.tensor(float(len(batch))).to(sums)])
        total, count = self.accelerator.reduce(sums, "sum").tolist()
        return total / count

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for track in self.tracks:
                if track.average is not None:
                    stack.enter_context(track.average.in_place())
            yield

    def _save(self, done: int) -> None:
        gathered = {t.phase.name: state.gather(t.raw, t.optimizer.optimizer, t.average) for t in self.tracks}
        if self.accelerator.is_main_process:
            first = gathered[self.tracks[0].phase.name]
            kind = "average/" if self.tracks[0].average is not None else "model/"
            self.trainee.save(
                self.options.out, {k.removeprefix(kind): v for k, v in first.items() if k.startswith(kind)}
            )
            header = {"step": done, "recipe": self.recipe.to_dict(), "about": self.about}
            state.write(self.options.out, gathered, header)
        self.accelerator.wait_for_everyone()

    def _save_quietly(self, done: int) -> None:
        if self.accelerator.num_processes > 1:
            return  # the other processes may be gone, and gathering would wait for them: the last regular save stands
        with contextlib.suppress(Exception):
            self._save(done)

    # -- start and stop

    def _track(self, phase: Phase) -> Track:
        raw = phase.module.to(self.accelerator.device)
        wrapped, optimizer = self.accelerator.prepare(raw, optimiser(raw, self.recipe))
        if self.options.shard:
            raw = wrapped  # FSDP2 shards in place: the wrapped module is the module
        if self.options.compile:
            wrapped = torch.compile(wrapped)
        return Track(phase, raw, wrapped, optimizer, Average(raw) if self.recipe.ema else None)

    def _resume(self) -> int:
        flat, header = state.read(self.options.out)
        if header["about"] != self.about:
            raise UsageError(
                f"resume: {self.options.out} trained something else: {_differing(header['about'], self.about)}"
            )
        for track in self.tracks:
            state.restore(track.raw, track.optimizer.optimizer, track.average, state.of_phase(flat, track.phase.name))
        changed = Recipe.from_dict(header["recipe"]).diff(self.recipe)
        if changed and self.accelerator.is_main_process:
            said = ", ".join(f"{name} {old} -> {new}" for name, old, new in changed)
            print(f"resume: the recipe changed ({said}), so this is not the run it would have been")
        return int(header["step"])

    def _asked_to_stop(self) -> bool:
        flag = torch.tensor([self.stopped or 0], device=self.accelerator.device)
        self.stopped = int(self.accelerator.reduce(flag, "sum").item()) and (self.stopped or signal.SIGTERM) or None
        return self.stopped is not None

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def ask(number: int, frame: FrameType | None) -> None:
            if self.stopped:
                raise KeyboardInterrupt  # asked twice: stop now
            self.stopped = number
            self.journal.say("stopping after this step; the state is being saved")

        try:
            before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever runs us handles signals
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def accelerator(recipe: Recipe, options: Options) -> Any:
    """One device, or what `accelerate launch` and `torchrun` set up: DDP, or FSDP2 where weights are sharded."""
    accelerate = need("accelerate", "train")
    precision = recipe.precision
    if precision == "auto":
        able = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        precision = "bfloat16" if able else "float32"
    plugin = None
    if options.shard:
        plugin = accelerate.utils.FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=["Block"]
        )
    return accelerate.Accelerator(mixed_precision="bf16" if precision == "bfloat16" else "no", fsdp_plugin=plugin)


def _differing(old: dict[str, Any], new: dict[str, Any]) -> str:
    keys = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
    return "; ".join(f"{key} was {str(old.get(key))[:120]}, is {str(new.get(key))[:120]}" for key in sorted(keys))


def folder_is_free(options: Options) -> None:
    """Raises UsageError where a new run would overwrite another."""
    out = Path(options.out)
    if not options.resume and (out / state.FILE).exists():
        raise UsageError(f"out: {out} holds a run already; continue it with resume, or choose another folder")
