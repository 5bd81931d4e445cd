"""What `nextset evaluate` judges: a checkpoint that draws, or pictures in files. Both answer the same questions.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from ..data.base import Dataset
from ..data.batch import Stacking
from ..errors import UsageError
from ..evaluate import Samples
from ..evaluate.bits import LogProb
from ..evaluate.request import Sampler
from ..model import Model
from ..sampling import Job, identity, recorded, words
from ..tokenizers.pixel import Pixel
from .drawing import Drawing, classes, told

DRAWN = 1000  # pictures drawn with a checkpoint unless the user says otherwise


class Subject(ABC):
    """What is judged."""

    sampler: Sampler | Samples
    log_prob: LogProb | None = None
    levels: int = 0  # per channel, where its tokens are the pixels
    labelled: bool  # whether each picture was asked to show a class
    captioned: bool | None = None  # ... or a caption; None where nobody knows

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of its pictures."""

    @abstractmethod
    def settings(self, data: Dataset, count: int | None) -> dict[str, Any]:
        """The fields of the protocol that it decides, `count` pictures being asked for."""

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What the result says of it."""

    @abstractmethod
    def place(self) -> None:
        """Brings what it needs to its device."""

    def check(self, data: Dataset) -> None:
        """Raises UsageError where it cannot be compared with `data`."""
        if isinstance(data, Stacking) and data.shape != self.shape:
            raise UsageError(
                f"{self} has {size_words(self.shape)} pictures, data {data.name} {size_words(data.shape)} ones"
            )


class Checkpoint(Subject):
    """A model that is still as it was loaded; `place` then brings it to its device."""

    def __init__(self, source: str, model: Model, drawing: Drawing) -> None:
        self.source, self.model, self.drawing = source, model, drawing
        self.guidance, self.pick = drawing.guidance_of(model.system), drawing.pick_of(model.system)
        self.told = told(model.system)
        self.labelled, self.captioned = self.told == "label", self.told == "caption"
        self.hash = identity(model)
        self.sampler = self._draw
        if isinstance(model.system.tokenizer, Pixel) and not self.captioned:
            self.log_prob, self.levels = self._log_prob, model.system.tokenizer.levels

    def __str__(self) -> str:
        return f"checkpoint {self.source}"

    def place(self) -> None:
        """Brings the model to its device."""
        self.model = self.drawing.place(self.model)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the system."""
        return (*self.model.system.size, self.model.system.tokenizer.channels)

    def settings(self, data: Dataset, count: int | None) -> dict[str, Any]:
        """All that is known of how it draws."""
        height, width, channels = self.shape
        return {
            "samples": count or DRAWN,
            "seed": self.drawing.seed,
            "condition": "caption" if self.captioned else "label",
            "guidance": words(self.guidance),
            "sampling": words(self.pick),
            "dtype": self.drawing.arithmetic,
            "channels": channels,
            "size": (height, width),
        }

    @property
    def about(self) -> dict[str, Any]:
        """Path, hash and system."""
        return {"checkpoint": self.source, "model": self.hash, "system": str(self.model.system)}

    def check(self, data: Dataset) -> None:
        """Also that both know the same number of classes."""
        super().check(data)
        if self.labelled and classes(self.model.system) != len(data.classes):
            raise UsageError(
                f"{self} knows {classes(self.model.system)} classes, data {data.name} has {len(data.classes) or 'none'}"
            )

    def _draw(self, condition: Any, first: int) -> Tensor:
        return self.model.generate(
            None if self.told == "nothing" else condition,
            count=len(condition),
            seed=self.drawing.seed,
            first=first,
            guidance=self.guidance,
            pick=self.pick,
        )

    def _log_prob(self, images: Tensor, labels: Tensor, first: int) -> Tensor:
        return self.model.log_prob(images, labels if self.labelled else None, seed=self.drawing.seed, first=first)


class Files(Subject):
    """Pictures in files, and the job that drew them, where it is recorded."""

    def __init__(self, samples: Samples, drawing: Drawing) -> None:
        self.samples, self.sampler, self.labelled = samples, samples, samples.labels is not None
        self.job: Job | None = recorded(samples.path)
        given = {
            "guidance": drawing.guidance,
            "schedule": drawing.schedule,
            "steps": drawing.steps,
            "size": drawing.size,
        }
        given |= drawing.picks
        for name in (name for name, value in given.items() if value is not None):
            raise UsageError(f"{name} is for drawing, and {samples.path} is drawn already; leave it out")
        if self.job and self.job.count != len(samples):
            raise UsageError(
                f"{samples.path} holds {len(samples)} of the {self.job.count} pictures of its job; finish it by the same "
                "`nextset sample` command"
            )

    def __str__(self) -> str:
        return str(self.samples.path)

    def place(self) -> None:
        """Files stay where they are."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the files."""
        return self.samples.shape

    def settings(self, data: Dataset, count: int | None) -> dict[str, Any]:
        """How they were drawn, where that is recorded."""
        settings: dict[str, Any] = {"samples": count or len(self.samples)}
        if self.job:
            known = len(data.classes) or len(self.job.classes)  # reference files do not name their classes
            uniform = known > 0 and self.job.classes == tuple(range(known))
            settings |= {
                "seed": self.job.seed,
                "balance": "uniform" if uniform else "data",
                "guidance": words(self.job.guidance),
                "sampling": words(self.job.pick),
                "dtype": self.job.dtype,
            }
        return settings

    @property
    def about(self) -> dict[str, Any]:
        """Path, and the hash of the model, where that is recorded."""
        return {"samples": str(self.samples.path)} | ({"model": self.job.model} if self.job else {})

    def check(self, data: Dataset) -> None:
        """Also that the labels are classes of the data."""
        super().check(data)
        labels = self.samples.labels
        if labels is not None and data.classes and int(labels.max()) >= len(data.classes):
            raise UsageError(
                f"{self} has the label {int(labels.max())}, data {data.name} only {len(data.classes)} classes"
            )


def size_words(shape: tuple[int, int, int]) -> str:
    """A size of pictures for messages."""
    height, width, channels = shape
    return f"{width}x{height} {'grey' if channels == 1 else 'RGB'}"
