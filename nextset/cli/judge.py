"""`nextset evaluate` and `nextset compare-results`."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..data.base import Dataset
from ..data.open import open_dataset
from ..errors import UsageError
from ..evaluate import (
    Extractor,
    Protocol,
    Result,
    Statistics,
    compare,
    evaluate,
    grade_shapes,
    load_samples,
    open_extractor,
    open_reference,
)
from ..evaluate.classifier import RECIPES
from ..evaluate.extractors import WORDS, is_inception
from ..evaluate.protocol import OF_FEATURES, OF_SAMPLES
from ..evaluate.request import JUDGED_BY_EXTRACTOR
from ..folders import CONFIG
from ..sampling.output import check_writable
from ..weights import load
from . import command
from .command import Json
from .drawing import Drawing
from .subject import Checkpoint, Files, Subject, size_words

NO_EXTRACTOR = (
    f"needs an extractor, and that data has none of its own: give --extractor {', '.join(WORDS[:-1])} or {WORDS[-1]}"
)
Metric = Literal[
    "bits", "frechet", "sfid", "kid", "precision-recall", "density-coverage", "inception-score", "accuracy", "grade"
]
USUAL = ("bits", "frechet", "kid", "precision-recall", "accuracy", "grade")  # measured where nobody says what
ADM = ("bits", "frechet", "sfid", "inception-score", "precision-recall", "grade")  # ... through Inception
Metrics = Annotated[
    tuple[Metric, ...], tyro.conf.arg(help="What to measure; by default all that is usual and applies.")
]


@dataclass(frozen=True)
class Evaluate:
    """Judge a checkpoint, or samples (a folder of PNG files, an .npz), against held-out pictures.

    Many pictures are better drawn first, by `nextset sample`, which goes on where it was stopped, and then judged as files.
    """

    data: str
    """Pictures to judge against: digits, shapes, a folder, ... as for training, or an .npz, such as ADM's reference files."""
    metrics: Metrics = ()
    count: int | None = None
    """Pictures to judge: 1000 of a checkpoint, all of a folder or .npz, unless given."""
    extractor: str | None = None
    """What looks at the pictures: inception (for FID, sFID and IS; or the path of its weights), digits or shapes (that of the data
    unless given), a folder or hub id of a vision model (facebook/dinov2-large), or tiny-random."""
    statistics: Path | None = None
    """An .npz with mu and sigma (and mu_s, sigma_s) that stand for the data in Frechet distances; ADM's files bring theirs."""
    split: Literal["train", "test", "all"] = "test"
    """Part of the data."""
    out: Path | None = None
    """Also write the result, as JSON, for compare-results."""
    drawing: tyro.conf.OmitArgPrefixes[Drawing] = Drawing()
    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command on its words."""
        source, rest = command.positional(words, "checkpoint or samples", "nextset evaluate runs/digits --data digits")
        if source in ("-h", "--help"):
            source, rest = "", [source]
        return command.parse(cls, "evaluate CHECKPOINT_OR_SAMPLES", rest).run(source)

    def run(self, source: str) -> int:
        """Judges, and says and writes the figures."""
        self._check()
        data, statistics = self._reference()
        subject = opened(source, self.drawing)
        subject.check(data)
        metrics = self._metrics(subject, data)
        protocol = self._protocol(subject, data, metrics)
        extractor = self._extractor(subject) if set(metrics) & JUDGED_BY_EXTRACTOR else None
        subject.place()
        result = evaluate(
            protocol,
            data,
            sample=subject.sampler,
            log_prob=subject.log_prob,
            extractor=extractor,
            grader=grade_shapes,
            statistics=statistics,
            batch=self.drawing.batch,
        )
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        result = dataclasses.replace(result, metadata={**subject.about, "date": now, **result.metadata})
        if self.out is not None:
            result.save(self.out)
        command.say(self.json, result.to_dict(), str(result))
        return 0

    def _check(self) -> None:
        self.drawing.check()
        if self.count is not None and self.count < 1:
            raise UsageError(f"count must be at least 1, got {self.count}")
        if self.out is not None:
            if self.out.is_dir():
                raise UsageError(f"out: {self.out} is a folder; name a file, such as {self.out / 'result.json'}")
            check_writable(self.out)

    def _reference(self) -> tuple[Dataset, Statistics | None]:
        """The data, and the moments that are given, or that lie beside the pictures and are Inception's as those of ADM."""
        given = None if self.statistics is None else Statistics.load(self.statistics)
        if not self.data.endswith(".npz"):
            return open_dataset(self.data, self.split), given
        data, beside = open_reference(self.data)
        return data, given or (beside if is_inception(self._looks) else None)

    @property
    def _looks(self) -> str | None:
        """The name of the extractor."""
        return self.extractor or (self.data if self.data in RECIPES else None)

    def _metrics(self, subject: Subject, data: Dataset) -> tuple[str, ...]:
        """What is asked for, or all that applies. Raises UsageError for what does not."""
        problems = _problems(subject, data, self._looks)
        for metric in self.metrics:
            if problems[metric]:
                raise UsageError(f"{metric} of {subject} against data {data.name} {problems[metric]}")
        if not self.metrics and not self._looks:
            bits = ", or --metrics bits" if subject.log_prob else ""
            raise UsageError(f"judging {subject} against data {data.name} {NO_EXTRACTOR}{bits}")
        asked = lambda metric: metric != "grade" or subject.captioned
        usual = ADM if is_inception(self._looks) else USUAL
        return self.metrics or tuple(metric for metric in usual if not problems[metric] and asked(metric))

    def _protocol(self, subject: Subject, data: Dataset, metrics: tuple[str, ...]) -> Protocol:
        settings = subject.settings(data, self.count)
        if "bits" in metrics:
            settings["quantisation"] = f"{Protocol.quantisation}; bits over {subject.levels} levels a channel"
        if not set(metrics) & set(OF_SAMPLES):  # nothing is drawn
            settings |= {"samples": 0, "guidance": "", "sampling": ""}
        return Protocol(metrics=metrics, **settings)

    def _extractor(self, subject: Subject) -> Extractor:
        height, width, channels = subject.shape
        name = self._looks
        if name in RECIPES:
            recipe = RECIPES[name]
            taken = (recipe.size, recipe.size, recipe.channels)
            if taken != subject.shape:
                raise UsageError(
                    f"extractor {name} takes {size_words(taken)} pictures, {subject} has {size_words(subject.shape)} ones"
                )
        return open_extractor(name or "", channels).to(command.device(self.drawing.device))


def opened(source: str, drawing: Drawing) -> Subject:
    """What `source` names: pictures in files, or a checkpoint that draws."""
    path = Path(source)
    if path.is_file() or (path.is_dir() and not (path / CONFIG).is_file()):
        return Files(load_samples(path), drawing)
    return Checkpoint(source, drawing.changed(load(source)), drawing)


def _problems(subject: Subject, data: Dataset, looks: str | None) -> dict[str, str]:
    """Why a metric cannot be measured through the extractor named `looks`, "" where it can."""
    classified = looks in RECIPES and RECIPES[looks].classes == len(data.classes)
    captioned = data.name.startswith("shapes") and subject.captioned is not False
    no_accuracy = (
        "" if subject.labelled and classified else "needs pictures drawn by class and an extractor of these classes"
    )
    return {
        "bits": ""
        if subject.log_prob
        else "needs a checkpoint whose tokens are the pixels; other bits are not per dimension",
        **dict.fromkeys(OF_FEATURES, "" if looks else NO_EXTRACTOR),
        "sfid": "" if is_inception(looks) else "needs features that keep their place: give --extractor inception",
        "inception-score": ""
        if is_inception(looks) or looks in RECIPES
        else "needs an extractor that classifies: give inception",
        "accuracy": no_accuracy if looks else NO_EXTRACTOR,
        "grade": "" if captioned else "needs the data shapes, and pictures drawn from its captions",
    }


@dataclass(frozen=True)
class CompareResults:
    """Set two results of `nextset evaluate` side by side; they must have been measured in the same way."""

    json: Json = False

    @classmethod
    def main(cls, words: Sequence[str]) -> int:
        """Runs the command on its words."""
        example = "nextset compare-results a.json b.json"
        left, rest = command.positional(words, "result", example)
        if left in ("-h", "--help"):
            right, rest = "", [left]
        else:
            right, rest = command.positional(rest, "second result", example)
        return command.parse(cls, "compare-results A.json B.json", rest).run(left, right)

    def run(self, left: str, right: str) -> int:
        """Says the differences."""
        found = compare(Result.load(left), Result.load(right))
        if not found:
            raise UsageError(f"{left} and {right} have no figure in common")
        rows = [("figure", "A", "B", "B - A", "standard errors", "better")]
        side = {"left": "A", "right": "B", "equal": "equal"}
        for d in found:
            errors = "" if d.errors is None else f"{d.errors:.1f}"
            rows.append((d.name, str(d.left), str(d.right), f"{d.delta:+.4g}", errors, side[d.better]))
        extra = [{"delta": d.delta, "errors": d.errors, "better": side[d.better]} for d in found]
        data = [dataclasses.asdict(d) | more for d, more in zip(found, extra, strict=True)]
        command.say(self.json, data, command.table(rows))
        return 0
