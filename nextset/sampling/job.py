"""What decides a set of pictures, as data: two jobs that are equal draw the same pictures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..decode import Guidance, Pick
from ..digest import fingerprint
from ..errors import UsageError
from ..model import Model
from ..spec import Spec


@dataclass(frozen=True)
class Job(Spec):
    """`count` pictures of the model with the hash `model`; picture i has the class classes[i mod len(classes)], none where empty,
    or the caption captions[i mod len(captions)].

    Picture i draws from the stream (seed, i), whatever else is drawn beside it. `dtype` is that of the network, and what was quantized: it, the batch
    and the device decide how sums round, so with other ones a picture may now and then differ where a draw was close.
    """

    model: str
    classes: tuple[int, ...]
    count: int
    seed: int
    guidance: Guidance
    pick: Pick
    dtype: str = "float32"
    captions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"count must be at least 1, got {self.count}")
        if self.classes and self.captions:
            raise UsageError("a job has classes or captions, not both")

    def label(self, index: int) -> int | None:
        """The class of picture `index`."""
        return self.classes[index % len(self.classes)] if self.classes else None

    def labels(self, chosen: range) -> Tensor | None:
        """The classes of these pictures, int64."""
        return torch.tensor([self.label(i) for i in chosen], dtype=torch.int64) if self.classes else None

    def asked(self, chosen: range) -> Tensor | list[str] | None:
        """What these pictures are to show: their captions, or their classes."""
        return [self.captions[i % len(self.captions)] for i in chosen] if self.captions else self.labels(chosen)


def identity(model: Model) -> str:
    """The first 16 hex digits of a hash of system and weights: what a job knows its model by."""
    return fingerprint(model, model.system)[:16]


def words(spec: Spec) -> str:
    """Every field of a spec of numbers, in one spelling: equal specs, equal words, in every version that has these fields."""
    values = ((f.name, getattr(spec, f.name)) for f in dataclasses.fields(spec))
    fields = (f"{name}={_word(value)}" for name, value in values if value != ())
    return f"{type(spec).__name__}({', '.join(fields)})"


def _word(value: Any) -> str:
    return f"({' '.join(map(_word, value))})" if isinstance(value, tuple) else f"{value:.12g}"
