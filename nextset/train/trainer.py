"""The loop: batches in, steps of every phase, averages, reports, atomic saves, clean stops.

Everything random in step k follows from (seed, k), so a resumed run on one device continues bit for bit.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch, Batches
from ..errors import UsageError
from ..noise import mix
from . import state
from .average import Average
from .devices import accelerator, autocast
from .guard import check_finite
from .journal import Journal
from .phase import Phase, Trainee, checkpoint_activations, optimiser
from .recipe import Options, Recipe
from .signals import Stop


@dataclass
class Track:
    """A phase prepared for its devices."""

    phase: Phase
    raw: nn.Module
    wrapped: nn.Module
    optimizer: Any
    average: Average | None


class Trainer:
    """Trains `trainee` on `train`, judged on `held_out` (None: not judged); `about` goes into the state's header.

    Raises UsageError where `options.out` holds a run already, or another one than is to be resumed.
    """

    def __init__(
        self,
        trainee: Trainee,
        recipe: Recipe,
        options: Options,
        train: Batches,
        held_out: Batches | None,
        about: dict[str, Any],
    ) -> None:
        folder_is_free(options)
        self.trainee, self.recipe, self.options = trainee, recipe, options
        self.loader, self.held_out, self.about = train, held_out, about
        self.accelerator = accelerator(recipe, options)
        self.device: torch.device = self.accelerator.device
        self.tracks = [self._track(phase) for phase in trainee.phases]
        self.done = self._resume() if options.resume else 0

    def run(self) -> int:
        """Trains to the last step, or until a signal asks to stop; returns that signal's number, 0 at the end."""
        main = self.accelerator.is_main_process
        self.journal = Journal(self.options.out, self.done, self.recipe.steps, self.recipe.batch, main)
        stop = Stop(lambda: self.journal.say("stopping after this step; the state is being saved"))
        try:
            with stop:
                if self.trainee.loaded and not self.done:
                    self._baseline()
                batches = self.loader.batches(self.done)
                while self.done < self.recipe.steps and not self._agreed(stop):
                    batch = next(batches)
                    figures = self._step(self.done, batch)
                    self.done += 1
                    self._report(figures, batch)
            self._save()
        except BaseException:
            self._save_quietly()
            raise
        finally:
            self.journal.close()
        return stop.asked if self.done < self.recipe.steps else 0

    def rehearse(self, steps: int = 3) -> float:
        """Seconds of a step, measured over `steps` after a first one. Changes the weights and saves nothing."""
        for step, batch in enumerate(itertools.islice(self.loader.batches(), steps + 1)):
            if step == 1:
                start = time.perf_counter()
            self._step(step, batch)  # ends with numbers on the host, so the device has finished
        return (time.perf_counter() - start) / steps

    # -- one step

    def _step(self, step: int, batch: Batch) -> dict[str, float]:
        figures: dict[str, float] = {"lr": self.recipe.rate(step)}
        for track in self.tracks:
            figures |= self._gradients(track, step, batch)
        for track in self.tracks:
            for group in track.optimizer.param_groups:
                group["lr"] = self.recipe.rate(step)
            track.optimizer.step()
        figures |= self.trainee.after(step)
        for track in self.tracks:
            if track.average is not None:
                track.average.update(self.recipe.decay(step))
        return figures

    def _gradients(self, track: Track, step: int, batch: Batch) -> dict[str, float]:
        track.raw.train()
        track.optimizer.zero_grad(set_to_none=True)
        totals: dict[str, Tensor] = {}
        parts = batch.split(self.recipe.accumulate)
        for index, part in enumerate(parts):
            seed = mix(self.recipe.seed, step, index, self.accelerator.process_index, track.phase.name)
            inputs = track.phase.inputs(part.to(self.device), step, seed)
            forward = functools.partial(self._forward, track.wrapped, inputs, seed)
            last = index + 1 == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(track.wrapped):
                found = forward()
                self.accelerator.backward(found["loss"] / len(parts))
            for name, value in found.items():
                totals[name] = totals.get(name, 0) + value.detach() / len(parts)
        totals["grad_norm"] = _whole(nn.utils.clip_grad_norm_(track.raw.parameters(), self.recipe.clip or float("inf")))
        own = "" if track is self.tracks[0] else f"{track.phase.name}_"
        numbers = torch.stack(
            [value.float() for value in totals.values()]
        ).tolist()  # the step's one wait for the device
        figures = dict(zip((f"{own}{name}" for name in totals), numbers, strict=True))
        check_finite(figures[f"{own}grad_norm"], figures[f"{own}loss"], step, track.raw, forward)
        return figures

    def _forward(self, module: nn.Module, inputs: tuple[Any, ...], seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)  # dropout of a step follows from its number, not from what was drawn before
        with autocast(self.recipe, self.options, self.device):
            found: dict[str, Tensor] = module(*inputs)
        return found

    # -- reports and saves

    def _baseline(self) -> None:
        """What the loaded weights are worth and what they draw, as step 0: a fine-tuning that loses something shows where it began."""
        every = self.options
        if every.eval_every and self.held_out:
            self.journal.figures(0, {"held_out_loss": self._judge(self.held_out)})
        if every.sample_every and self.trainee.shows and not every.shard:
            batch = next(self.loader.batches(0)).to(self.device)
            with torch.no_grad():
                self.journal.picture(0, self.trainee.picture(batch))

    def _report(self, figures: dict[str, float], batch: Batch) -> None:
        every, done, last = self.options, self.done, self.done == self.recipe.steps
        self.journal.step()
        if every.eval_every and self.held_out and (done % every.eval_every == 0 or last):
            figures["held_out_loss"] = self._judge(self.held_out)
        if done % every.log_every == 0 or last or "held_out_loss" in figures:
            self.journal.figures(done, self._everyones(figures))
        if every.sample_every and self.trainee.shows and not every.shard and (done % every.sample_every == 0 or last):
            with self._averaged(), torch.no_grad():
                self.journal.picture(done, self.trainee.picture(batch.to(self.device)))
        if done % every.save_every == 0 and not last:
            self._save()

    def _everyones(self, figures: dict[str, float]) -> dict[str, float]:
        """The mean of every process's figures, each of which saw its share of the batch."""
        if self.accelerator.num_processes == 1:
            return figures
        values = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.device)
        return dict(zip(figures, self.accelerator.reduce(values, "mean").tolist(), strict=True))

    def _judge(self, held_out: Batches) -> float:
        """The mean loss over `held_out`, with averaged weights; every process takes equally many batches."""
        track = self.tracks[0]
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        with self._averaged(), torch.no_grad():
            track.raw.eval()
            for batch in itertools.islice(held_out.once(), held_out.schedule.rounds):
                found = self._forward(track.raw, track.phase.inputs(batch.to(self.device), self.done, 0), 0)
                sums += torch.stack([found["loss"].double() * len(batch), sums.new_tensor(len(batch))])
        total, count = self.accelerator.reduce(sums, "sum").tolist()
        return total / count

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for track in self.tracks:
                if track.average is not None:
                    stack.enter_context(track.average.in_place())
            yield

    def _save(self) -> None:
        gathered = {t.phase.name: state.gather(t.raw, t.optimizer.optimizer, t.average) for t in self.tracks}
        if self.accelerator.is_main_process:
            first = gathered[self.tracks[0].phase.name]
            kind = "average/" if self.tracks[0].average is not None else "model/"
            weights = {k.removeprefix(kind): v for k, v in first.items() if k.startswith(kind)}
            self.trainee.save(self.options.out, weights)
            header = {"step": self.done, "recipe": self.recipe.to_dict(), "about": self.about}
            state.write(self.options.out, gathered, header)
        self.accelerator.wait_for_everyone()

    def _save_quietly(self) -> None:
        if self.accelerator.num_processes > 1:
            return  # the other processes may be gone, and gathering would wait for them: the last regular save stands
        with contextlib.suppress(Exception):
            self._save()

    # -- start and stop

    def _track(self, phase: Phase) -> Track:
        raw = phase.module.to(self.device)
        checkpoint_activations(raw, self.options.checkpointing)
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
            own = state.of_phase(flat, track.phase.name)
            state.restore(track.raw, track.optimizer.optimizer, track.average, own)
        said = Recipe.from_dict(header["recipe"]).changes(self.recipe)
        if said and self.accelerator.is_main_process:
            warnings.warn(
                f"resume: the recipe changed ({said}), so this is not the run it would have been", stacklevel=3
            )
        return int(header["step"])

    def _agreed(self, stop: Stop) -> bool:
        """Whether any process was asked to stop: all stop after the same step."""
        if self.accelerator.num_processes == 1:
            return stop.asked != 0
        asked = int(self.accelerator.gather(torch.tensor([stop.asked], device=self.device)).max())
        stop.asked = stop.asked or asked
        return asked != 0


def _whole(norm: Tensor) -> Tensor:
    """A norm, gathered from shards where it is one over shards."""
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm


def _differing(old: dict[str, Any], new: dict[str, Any]) -> str:
    keys = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
    return "; ".join(f"{key} was {str(old.get(key))[:120]}, is {str(new.get(key))[:120]}" for key in sorted(keys))


def folder_is_free(options: Options) -> None:
    """Raises UsageError where a new run would overwrite another."""
    out = Path(options.out)
    if not options.resume and (out / state.FILE).exists():
        raise UsageError(f"out: {out} holds a run already; continue it with --resume, or choose another folder")
