"""What a tokenizer loses, in the grader's eyes: reconstructions read against captions and scenes, beside the pictures themselves.

No generator can be graded better than what its tokenizer gives back. Legend: B batch, S side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.crop import to_float
from ..data.shapes import Scene, Shapes
from ..data.shapes.grading.agreement import agreement
from ..errors import UsageError
from ..tokenizers.base import TokenizerModule
from .accuracy import GradeTally, grade_shapes, share_error
from .protocol import Figure
from .samples import check_finite, to_uint8


@dataclass(frozen=True)
class Legibility:
    """Figures of `count` pictures as they are (`clean`) and as they come back (`reconstructed`).

    "grade/<aspect>" against the captions (see `Grades`), "scene/<attribute>" against the scenes (see `Agreement`).
    """

    count: int
    clean: dict[str, Figure]
    reconstructed: dict[str, Figure]

    def __str__(self) -> str:
        """A line a figure: clean, then reconstructed."""
        lines = [f"{name:<20}{figure!s:<20}{self.reconstructed[name]}" for name, figure in self.clean.items()]
        return "\n".join([f"{'':<20}{'clean':<20}reconstructed", *lines])


@torch.no_grad()
def legibility(tokenizer: TokenizerModule, data: Shapes, count: int | None = None, batch: int = 64) -> Legibility:
    """Grades the first `count` pictures of the world (default: all) and decode(encode(x)) of them.

    Raises UsageError before any work for data that are not the world's and for counts that it does not have; NextsetError naming
    a reconstruction that is not finite.
    """
    if not isinstance(data, Shapes):
        raise UsageError(
            f"data must be the world of shapes, whose pictures the grader reads; got {type(data).__name__}"
        )
    count = len(data) if count is None else count
    if not 1 <= count <= len(data) or batch < 1:
        raise UsageError(f"count must be in 1..{len(data)} and batch at least 1, got {count=}, {batch=}")
    first = next(iter(tokenizer.parameters()), None)
    device = torch.device("cpu") if first is None else first.device
    clean, reconstructed = _Sums(), _Sums()
    with tqdm(total=count, desc="reconstructions", unit="image", disable=None, leave=False) as bar:
        for start in range(0, count, batch):
            index = np.arange(start, min(start + batch, count))
            stack = data.stack(index)
            scenes = [data.sample(int(i)).scene for i in index]
            images = to_float(stack.images)
            back = tokenizer.decode(tokenizer.encode(images.to(device))).float().cpu()
            check_finite(back, start)
            clean.add(images, stack.captions, scenes)
            reconstructed.add(back, stack.captions, scenes)
            bar.update(len(index))
    return Legibility(count, clean.figures(), reconstructed.figures())


@dataclass
class _Sums:
    """Grades and agreement over batches."""

    tally: GradeTally = field(default_factory=lambda: GradeTally(grade_shapes))
    right: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def add(self, images: Tensor, captions: Sequence[str], scenes: Sequence[Scene]) -> None:
        self.tally.add(images, captions)
        for name, share in agreement(to_uint8(images).numpy(), scenes).means().items():
            self.right[name] = self.right.get(name, 0.0) + share * len(scenes)
        self.count += len(scenes)

    def figures(self) -> dict[str, Figure]:
        shares = {name: right / self.count for name, right in self.right.items()}
        return self.tally.figures() | {
            f"scene/{name}": Figure(share, "", share_error(min(share, 1.0), self.count), more_is_better=True)
            for name, share in shares.items()
        }
