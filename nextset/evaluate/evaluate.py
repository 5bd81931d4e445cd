"""One call that judges a sampler, or samples in files, against held-out pictures under a stated protocol.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..data.base import Dataset
from ..data.batch import Batch
from ..data.loader import once
from .accuracy import Grader, GradeTally
from .bits import LogProb, bits_per_dim
from .eye import Eye
from .features import Extractor
from .protocol import OF_SAMPLES, Figure, Protocol, Result
from .reference import Statistics
from .request import JUDGED_BY_EXTRACTOR, Request, Sampler
from .samples import Samples


def evaluate(
    protocol: Protocol,
    data: Dataset,
    *,
    sample: Sampler | Samples | None = None,
    log_prob: LogProb | None = None,
    extractor: Extractor | None = None,
    grader: Grader | None = None,
    statistics: Statistics | None = None,
    batch: int = 64,
) -> Result:
    """The figures that `protocol.metrics` names, against the pictures of `data` (a test split).

    `sample(condition, first) -> (B, C, H, W)` draws in [-1, 1]; condition is labels (B,) int64 or a list of B captions, as
    `protocol.condition` says, and the drawn pictures have the numbers first, first + 1, ...; or it is what `load_samples` opened.
    `log_prob(images, labels, first) -> (B,)` nats is for "bits", `grader` (such as `grade_shapes`) for "grade", `extractor` for the
    rest. `statistics` (`Statistics.load`) stand for the data in Frechet distances, as a published reference file does. Pictures
    of another size than `protocol.size` (default: that of the first one, or of the files) are cropped as `data.crop` does.
    The result's protocol has the fields filled in that follow from data and extractor; figures do not depend on `batch`.
    Raises UsageError before any work where something does not fit or is missing, NextsetError naming a sample that is not finite.
    """
    request = Request(protocol, data, sample, log_prob, extractor, grader, statistics, batch).completed()
    request.check()
    asked = request.asked() if request.wants & set(OF_SAMPLES) else None
    judge = _Judge(request)
    if log_prob is not None and "bits" in request.wants:
        judge.bits(log_prob)
    if asked is not None:
        judge.look(*asked)
    return Result(request.protocol, judge.figures, tuple(judge.warnings), judge.metadata)


class _Judge:
    """Figures in the making."""

    def __init__(self, request: Request) -> None:
        self.request, self.protocol = request, request.protocol
        self.figures: dict[str, Figure] = {}
        self.metadata: dict[str, Any] = {}
        self.warnings: list[str] = []

    def bits(self, log_prob: LogProb) -> None:
        height, width = self.protocol.size
        pairs = ((b.images, b.labels) for b in self._reference("bits per dimension"))
        found = bits_per_dim(log_prob, pairs, self.protocol.channels * height * width)
        self.figures["bits"] = Figure(found.mean, "bits/dim", None if math.isnan(found.error) else found.error)

    def look(self, labels: Tensor, captions: list[str]) -> None:
        """Everything that is about drawn pictures, which are to show these."""
        request, wants = self.request, self.request.wants
        judged = request.extractor if wants & JUDGED_BY_EXTRACTOR else None
        eye = Eye(judged, wants, request.statistics or Statistics()) if judged else None
        grades = GradeTally(request.grader) if request.grader and "grade" in wants else None
        if eye and eye.real.wanted:
            for part in self._reference("reference"):
                eye.study(part.images)
        for chosen, images in self._drawn(labels, captions):
            if eye:
                eye.see(images, labels[chosen])
            if grades:
                grades.add(images, captions[chosen])
        if eye:
            self.figures |= eye.figures(self.protocol.neighbours)
            self.warnings += eye.warnings()
        if eye and eye.tally:
            self.metadata["accuracy_per_class"] = eye.tally.per_class
            self.metadata["classifier_accuracy"] = eye.extractor.accuracy
        if grades:
            self.figures |= grades.figures()

    def _reference(self, what: str) -> Iterator[Batch]:
        data, protocol = self.request.data, self.protocol
        with tqdm(total=len(data), desc=what, unit="image", disable=None, leave=False) as bar:
            for part in once(data, self.request.batch, protocol.size, protocol.channels):
                yield part
                bar.update(len(part))

    def _drawn(self, labels: Tensor, captions: list[str]) -> Iterator[tuple[slice, Tensor]]:
        count, batch = self.protocol.samples, self.request.batch
        asked = captions if self.protocol.condition == "caption" else labels
        with tqdm(total=count, desc="samples", unit="image", disable=None, leave=False) as bar:
            for first in range(0, count, batch):
                chosen = slice(first, min(first + batch, count))
                images = self.request.draw(asked[chosen], first, chosen.stop - first)
                yield chosen, images
                bar.update(len(images))
