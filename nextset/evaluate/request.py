"""What an evaluation is given, checked before any long work. Legend: B batch, C channels, H height, W width."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.base import Dataset
from ..data.crop import to_float
from ..errors import UsageError
from .accuracy import Grader
from .bits import LogProb
from .eye import check_extractor
from .features import Extractor
from .protocol import OF_FEATURES, OF_SAMPLES, Protocol
from .reference import Statistics
from .samples import Samples, check_finite, to_uint8

Sampler = Callable[[Any, int], Tensor]

JUDGED_BY_EXTRACTOR = {*OF_FEATURES, "inception-score", "accuracy"}


@dataclass(frozen=True)
class Request:
    """The arguments of `evaluate`; see there."""

    protocol: Protocol
    data: Dataset
    sample: Sampler | Samples | None
    log_prob: LogProb | None
    extractor: Extractor | None
    grader: Grader | None
    statistics: Statistics | None
    batch: int

    @property
    def wants(self) -> set[str]:
        """The metrics asked for."""
        return set(self.protocol.metrics)

    def completed(self) -> Request:
        """With the fields of the protocol that follow from the data, the samples' files and the extractor."""
        if not len(self.data):
            raise UsageError(f"data {self.data.name} holds no pictures")
        old, used = self.protocol, self.extractor is not None and self.wants & JUDGED_BY_EXTRACTOR
        files = isinstance(self.sample, Samples)
        height, width, channels = self.sample.shape if isinstance(self.sample, Samples) else self.data[0].image.shape
        protocol = dataclasses.replace(
            old,
            data=self.data.name,
            reference=len(self.data),
            extractor=self.extractor.identity if self.extractor and used else "",
            statistics=self.statistics.identity(self.wants) if self.statistics else "",
            channels=channels if files else old.channels or channels,
            size=old.size if any(old.size) and not files else (height, width),
        )
        return dataclasses.replace(self, protocol=protocol)

    def check(self) -> None:
        """Raises UsageError for what is missing or does not fit."""
        needs = (
            ("log_prob", self.log_prob, {"bits"}),
            ("sample", self.sample, set(OF_SAMPLES)),
            ("extractor", self.extractor, JUDGED_BY_EXTRACTOR),
            ("grader", self.grader, {"grade"}),
        )
        for name, given, metrics in needs:
            if given is None and self.wants & metrics:
                what = ", ".join(sorted(self.wants & metrics))
                raise UsageError(f"{name} is needed for {what}: give it, or leave that out of metrics")
        if self.batch < 1:
            raise UsageError(f"batch must be at least 1, got {self.batch}")
        if isinstance(self.sample, Samples) and self.protocol.samples > len(self.sample):
            raise UsageError(f"samples: {self.protocol.samples} asked for, {self.sample.path} holds {len(self.sample)}")
        self._check_counts()
        self._check_extractor()

    def _check_counts(self) -> None:
        fewest = self.protocol.neighbours + 1 if self.wants & {"precision-recall", "density-coverage"} else 2
        counts = self.protocol.samples, len(self.data)
        if self.wants & set(OF_FEATURES) and min(counts) < fewest:
            raise UsageError(f"these metrics need at least {fewest} samples and reference pictures, got {counts}")

    def _check_extractor(self) -> None:
        extractor = self.extractor
        if extractor is None or not self.wants & JUDGED_BY_EXTRACTOR:
            return
        check_extractor(extractor, self.wants, (self.protocol.channels, *self.protocol.size))
        known = self.statistics or Statistics()
        for moments, dim in ((known.features, extractor.dim), (known.spatial, extractor.spatial)):
            if moments and dim and moments.dim != dim:
                raise UsageError(
                    f"statistics are of {moments.dim} features, extractor {extractor.name} makes {dim}; they belong to another one"
                )

    def asked(self) -> tuple[Tensor, list[str]]:
        """What the pictures are to show: labels (samples,) int64, -1 where there are none, and captions, "" where not needed."""
        count, protocol = self.protocol.samples, self.protocol
        captions, labels = [""] * count, torch.full((count,), -1)
        drawn = not isinstance(self.sample, Samples)
        if "grade" in self.wants or (drawn and (protocol.balance == "data" or protocol.condition == "caption")):
            items = [self.data[i * len(self.data) // count] for i in range(count)]  # spread evenly over the data
            captions = [item.caption for item in items]
            labels = torch.tensor([item.label for item in items], dtype=torch.int64)
        if isinstance(self.sample, Samples):
            labels = torch.full((count,), -1) if self.sample.labels is None else self.sample.labels[:count]
        elif protocol.balance == "uniform":
            labels = torch.arange(count) % self._classes()
        if ("grade" in self.wants or (drawn and protocol.condition == "caption")) and not all(captions):
            raise UsageError(
                f"data {self.data.name} has pictures without a caption; use captioned data, such as shapes"
            )
        if "accuracy" in self.wants and (labels < 0).any():
            raise UsageError(
                "accuracy needs a label for every picture: data with classes, or files in subfolders by label"
            )
        return labels, captions

    def _classes(self) -> int:
        if not self.data.classes:
            raise UsageError(f"data {self.data.name} has no classes, so balance cannot be 'uniform'; use 'data'")
        return len(self.data.classes)

    def draw(self, condition: Any, first: int, count: int) -> Tensor:
        """Pictures first..first + count as the protocol quantises them, (B, C, H, W) float32 on the CPU.

        Raises NextsetError naming a sample that is not finite, or for pictures of a wrong shape.
        """
        if isinstance(self.sample, Samples):
            return self.sample.images(first, first + count)
        assert self.sample is not None, "checked before"
        images = self.sample(condition, first)
        expected = (count, self.protocol.channels, *self.protocol.size)
        if tuple(images.shape) != expected:
            raise UsageError(f"sample returned images {tuple(images.shape)}, the protocol says {expected}")
        check_finite(images, first)
        return to_float(to_uint8(images).cpu().numpy())
