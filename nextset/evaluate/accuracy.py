"""Do pictures show what was asked for? Accuracy of class-conditional samples under a classifier, and graded captions.

Legend: B batch, C classes, H height, W width.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..data.shapes import grade
from ..data.shapes.grading.prompts import score
from ..errors import UsageError
from .protocol import Figure
from .samples import to_uint8

Grader = Callable[[np.ndarray, Sequence[str]], Mapping[str, Iterable[float]]]


class Tally:
    """Counts, per class, how often what was seen is what was asked for."""

    def __init__(self, classes: int) -> None:
        if classes < 1:
            raise UsageError(f"classes must be at least 1, got {classes}")
        self.right = torch.zeros(classes, dtype=torch.int64)
        self.asked = torch.zeros(classes, dtype=torch.int64)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Takes in logits (B, C) for asked labels (B,). Raises UsageError for labels outside 0..C-1."""
        classes = len(self.asked)
        if logits.shape != (len(labels), classes):
            raise UsageError(f"logits must be ({len(labels)}, {classes}) for these labels, got {tuple(logits.shape)}")
        labels = labels.cpu()
        if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
            raise UsageError(f"labels must be in 0..{classes - 1}, got {labels.min().item()} to {labels.max().item()}")
        right = labels[logits.argmax(1).cpu() == labels]
        self.asked += labels.bincount(minlength=classes)
        self.right += right.bincount(minlength=classes)

    @property
    def count(self) -> int:
        """Pictures seen."""
        return int(self.asked.sum())

    @property
    def accuracy(self) -> float:
        """Share of all pictures that are right."""
        return int(self.right.sum()) / self.count if self.count else math.nan

    @property
    def error(self) -> float:
        """Standard error of `accuracy`: sqrt(p (1 - p) / count)."""
        return share_error(self.accuracy, self.count)

    @property
    def per_class(self) -> list[float | None]:
        """Share that is right, class by class; None for a class that was never asked for."""
        return [r / a if a else None for r, a in zip(self.right.tolist(), self.asked.tolist(), strict=True)]


def share_error(share: float, count: int) -> float:
    """Standard error of a share of `count` independent trials (binomial)."""
    return math.sqrt(share * (1 - share) / count) if count else math.nan


class GradeTally:
    """Runs a grader over pictures and the captions that asked for them, and averages what it finds.

    `grader(pixels, captions)` reads uint8 (B, H, W, C) and returns, per aspect ("count", "colour", ...), one score in [0, 1] for
    each picture, or not a number where its caption does not ask for the aspect. `grade_shapes` is one.
    """

    def __init__(self, grader: Grader) -> None:
        self.grader = grader
        self._scores: dict[str, list[float]] = {}

    def add(self, images: Tensor, captions: Sequence[str]) -> None:
        """Takes in images (B, C, H, W) in [-1, 1] and a caption for each."""
        for aspect, scores in self.grader(to_uint8(images).cpu().numpy(), captions).items():
            known = [float(score) for score in scores if not math.isnan(score)]
            self._scores.setdefault(aspect, []).extend(known)

    def figures(self) -> dict[str, Figure]:
        """The mean over those pictures that are asked for an aspect, named "grade/<aspect>"; aspects never asked for are left out."""
        means = {aspect: (sum(scores) / len(scores), len(scores)) for aspect, scores in self._scores.items() if scores}
        return {
            f"grade/{aspect}": Figure(mean, "", share_error(mean, count), more_is_better=True)
            for aspect, (mean, count) in means.items()
        }


def grade_shapes(pixels: np.ndarray, captions: Sequence[str]) -> dict[str, np.ndarray]:
    """The grader of the world of shapes: reads uint8 pictures (B, S, S, 3) back and compares with what the captions say."""
    return dataclasses.asdict(grade(pixels, captions))


def grade_category(category: str) -> Grader:
    """The grader of one category of GenEval's prompts ("counting", ...; see `prompts.score`), which finds that one aspect."""
    return lambda pixels, captions: {category: score(pixels, captions, category)}
