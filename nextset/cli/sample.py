"""`nextset sample` and `nextset edit`."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor

from ..conditions import Label, Words
from ..errors import UsageError
from ..evaluate.samples import save_folder, save_grid
from ..model import Model
from ..sampling import Drawn, Folder, Grid, Job, Npz, Output, Share, draw, frames, identity, output, save_gif
from ..sampling.given import read_given, read_picture
from ..sampling.output import check_writable
from ..system import System
from ..weights import load
from . import command
from .command import Json
from .drawing import Drawing, classes, told

Classes = Annotated[
    tuple[str, ...],
    tyro.conf.arg(name="class", help="Classes by number, or all (the default); the pictures take them in turn."),
]
OneClass = Annotated[
    int | None, tyro.conf.arg(name="class", help="Class by number that the new part is to show; left out: no class.")
]


@dataclass(frozen=True)
class Sample:
    """Draw pictures with a checkpoint: a folder that nextset saved, that of a training run, or a hub id owner/name.

    Picture i has class i mod classes, so `--class all --count 50000` of a model of 1000 classes is 50 of each. Stopped, the same
    command goes on where it was; under torchrun the processes share the work.
    """

    out: Path
    """X.png (one grid), X.npz (as ADM's evaluator reads it), or a folder (of PNG files, by class)."""
    classes: Classes = ()
    prompt: tuple[str, ...] = ()
    """Captions, of a model that is told such; the pictures take them in turn."""
    count: int = 16
    """Pictures in all."""
    gif: Path | None = None
    """Also write a GIF of the first picture being written."""
    drawing: tyro.conf.OmitArgPrefixes[Drawing] = Drawing()
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command on its words."""
        source, rest = command.positional(words, "checkpoint", "nextset sample runs/digits --out samples.png")
        if source in ("-h", "--help"):
            source, rest = "", [source]
        return command.parse(cls, "sample CHECKPOINT", rest).run(source)

    def check(self) -> None:
        """Raises UsageError for what cannot be done with any checkpoint."""
        self.drawing.check()
        if self.count < 1:
            raise UsageError(f"count must be at least 1, got {self.count}")
        chosen(self.classes, None)
        output(self.out).check(self.count)
        if self.gif is not None:
            if self.gif.suffix.lower() != ".gif":
                raise UsageError(f"gif: {self.gif} must end in .gif")
            check_writable(self.gif)

    def run(self, source: str) -> int:
        """Draws what is missing and says what was written."""
        self.check()
        share, out = Share.from_environment(), output(self.out)
        model = self.drawing.changed(load(source))
        job = self.job(model)
        out.begin(job)
        model = self.drawing.place(model, share)
        with _stoppable(out):
            drawn = draw(model, job, out, self.drawing.batch, share)
            if self.gif is not None and share.rank == 0:
                first = model.stream(job.asked(range(1)), count=1, seed=job.seed, guidance=job.guidance, pick=job.pick)
                save_gif(frames(first), self.gif)
        command.say(self.json, self._report(out, drawn), self._told(drawn))
        return 0

    def job(self, model: Model) -> Job:
        """The job of a model that is still as it was loaded."""
        system = model.system
        labels, how = chosen(self.classes, system), (self.drawing.guidance_of(system), self.drawing.pick_of(system))
        check_prompts(model, self.prompt)
        return Job(identity(model), labels, self.count, self.drawing.seed, *how, self.drawing.arithmetic, self.prompt)

    def _report(self, out: Output, drawn: Drawn) -> dict[str, Any]:
        paths = [] if drawn.missing else [out.path]
        return {
            "paths": [str(path) for path in (*paths, out.record, *([self.gif] if self.gif else []))],
            "count": self.count,
            "drawn": drawn.count,
            "missing": drawn.missing,
            "seconds": round(drawn.seconds, 3),
            "images_per_second": round(drawn.rate, 3),
        }

    def _told(self, drawn: Drawn) -> str:
        speed = f"{drawn.count} drawn in {drawn.seconds:.1f} s ({drawn.rate:.3g} images/s)"
        if drawn.missing:
            return f"this process's share of {self.out} is done: {speed}; {drawn.missing} of {self.count} are still missing"
        if not drawn.count:
            return f"{self.out} is finished: {self.count} pictures, nothing was left to draw"
        return f"wrote {self.out}: {self.count} pictures, {speed}"


@dataclass(frozen=True)
class Edit:
    """Redraw the masked part of a picture, or continue it beyond its borders, several times."""

    out: Path
    """X.png (one grid: the original, what is kept of it, the drawn ones), or a folder of the drawn ones."""
    mask: Path | None = None
    """Picture of the image's size: white is redrawn, black is kept."""
    grow: tuple[int, int, int, int] | None = None
    """In place of a mask: pixels to add at the top, bottom, left and right."""
    label: OneClass = None
    prompt: str | None = None
    """What the new part is to show, said to a model that is told captions."""
    count: int = 4
    """How often to draw."""
    resize: bool = False
    """Cut image and mask to the middle and scale them to the model's size."""
    drawing: tyro.conf.OmitArgPrefixes[Drawing] = Drawing()
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command on its words."""
        example = "nextset edit runs/digits image.png --mask mask.png --out edited.png"
        source, rest = command.positional(words, "checkpoint", example)
        if source in ("-h", "--help"):
            image, rest = "", [source]
        else:
            image, rest = command.positional(rest, "image", example)
        return command.parse(cls, "edit CHECKPOINT IMAGE", rest).run(source, Path(image))

    def check(self) -> None:
        """Raises UsageError for what cannot be done with any checkpoint."""
        self.drawing.check()
        if not 1 <= self.count <= 1000:
            raise UsageError(f"count must be in 1..1000, got {self.count}")
        if (self.mask is None) == (self.grow is None):
            raise UsageError("give --mask, what is to be redrawn, or --grow, by how much to continue the picture")
        if self.grow is not None and (min(self.grow) < 0 or not any(self.grow)):
            raise UsageError(f"grow must be pixels to add at the top, bottom, left and right, got {self.grow}")
        out = output(self.out)
        if isinstance(out, Npz):
            raise UsageError(f"out: {self.out} must be a .png or a folder")
        out.check(self.count)
        if self.out.exists() and (isinstance(out, Grid) or any(self.out.iterdir())):
            raise UsageError(f"out: {self.out} exists already; choose another name or remove it")

    def run(self, source: str, path: Path) -> int:
        """Draws and writes."""
        self.check()
        for name, file in (("image", path), ("mask", self.mask)):
            if file is not None and not file.is_file():
                raise UsageError(f"{name}: there is no file {file}")
        model = self.drawing.changed(load(source))
        system = model.system
        self._check_class(system)
        check_prompts(model, () if self.prompt is None else (self.prompt,))
        if self.grow:
            model, image, mask = grown(model, path, self.grow, self.resize)
        else:
            assert self.mask is not None, "checked before"
            image, mask = read_given(path, self.mask, system.size, system.tokenizer.channels, self.resize)
        model = self.drawing.place(model)
        start = time.perf_counter()
        drawn = torch.cat([self._draw(model, image, mask, first) for first in range(0, self.count, self.drawing.batch)])
        seconds = time.perf_counter() - start
        if isinstance(output(self.out), Folder):
            save_folder(drawn, self.out)
        else:
            save_grid(torch.cat([torch.stack([image, image.masked_fill(mask, 0)]), drawn]), self.out)
        rate = self.count / seconds
        report = {
            "paths": [str(self.out)],
            "count": self.count,
            "seconds": round(seconds, 3),
            "images_per_second": round(rate, 3),
        }
        told = f"wrote {self.out}: {self.count} pictures in {seconds:.1f} s ({rate:.3g} images/s)"
        command.say(self.json, report, told)
        return 0

    def _check_class(self, system: System) -> None:
        if self.label is not None:
            chosen((str(self.label),), system)
        elif classes(system) and isinstance(system.condition, Label | Words) and not system.condition.dropout:
            raise UsageError("this model never learned to draw without a class; give --class")

    def _draw(self, model: Model, image: Tensor, mask: Tensor, first: int) -> Tensor:
        count = min(self.drawing.batch, self.count - first)
        return model.edit(
            image.expand(count, *image.shape),
            mask,
            self.prompt if self.label is None else [self.label] * count,
            seed=self.drawing.seed,
            first=first,
            guidance=self.drawing.guidance_of(model.system),
            pick=self.drawing.pick_of(model.system),
        ).cpu()


def grown(model: Model, path: Path, margins: tuple[int, int, int, int], resize: bool) -> tuple[Model, Tensor, Tensor]:
    """The model at a larger size, the picture on that canvas (black outside), and the mask of what is new."""
    top, bottom, left, right = margins
    height, width = model.system.size
    image = read_picture(path, model.system.size, model.system.tokenizer.channels, resize)
    larger = model.under(model.system.sized((height + top + bottom, width + left + right)))
    mask = torch.ones(larger.system.size, dtype=torch.bool)
    mask[top : top + height, left : left + width] = False
    canvas = torch.full((len(image), *larger.system.size), -1.0)
    canvas[:, ~mask] = image.flatten(1)
    return larger, canvas, mask


def chosen(words: tuple[str, ...], system: System | None) -> tuple[int, ...]:
    """The classes that words name, all where none or "all" is said; without a system only their spelling is looked at.

    Raises UsageError for words that are no classes of the system.
    """
    if words != ("all",) and not all(re.fullmatch(r"-?\d+", word) for word in words):
        raise UsageError(f"class must be numbers, or all, got {' '.join(words)}")
    if system is None:
        return ()
    known = classes(system)
    if not known and words:
        raise UsageError("class: this model is told no class; leave --class out")
    if words in ((), ("all",)):
        return tuple(range(known))
    for label in map(int, words):
        if not 0 <= label < known:
            raise UsageError(f"class {label} is outside 0..{known - 1}, which is what this model knows")
    return tuple(map(int, words))


def check_prompts(model: Model, prompts: tuple[str, ...]) -> None:
    """Raises UsageError for captions of a model that is not told such, and for those that it cannot read."""
    if not prompts:
        return
    if told(model.system) != "caption":
        raise UsageError(f"prompt: this model is told {model.system.condition}, no captions; leave --prompt out")
    model.network.condition.prepare(list(prompts), None, model.device)


@contextlib.contextmanager
def _stoppable(out: Output) -> Iterator[None]:
    """SIGTERM ends the program as Ctrl-C does, with what is written kept; both say so."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: whoever runs us handles signals
        before = None
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        print(f"what is written of {out.path} is kept; the same command goes on from there", file=sys.stderr)
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
