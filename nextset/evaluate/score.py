"""Inception Score (Salimans et al. 2016, arXiv 1606.03498): how sure a classifier is of each picture, and how different they are.

    IS = exp(mean over pictures of KL(p(y | x) || p(y)))

in parts of 5 000 pictures in the order in which they come, p(y) being the part's mean, then averaged over the parts: as ADM's
evaluator does (50 000 pictures: ten parts). So pictures must not come sorted by class. Legend: B batch, K classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import NextsetError, UsageError

PART = 5000


class InceptionScore:
    """The score of pictures that arrive in batches of logits; memory does not grow with their number."""

    def __init__(self, classes: int, part: int = PART) -> None:
        if classes < 1 or part < 1:
            raise UsageError(f"classes and part must be at least 1, got {classes} and {part}")
        self.part = part
        self.parts: list[tuple[int, Tensor, float]] = []  # pictures, sum of p, sum of sum p ln p
        self._empty = (0, torch.zeros(classes, dtype=torch.float64), 0.0)

    def add(self, logits: Tensor) -> None:
        """Takes in logits (B, K)."""
        if logits.ndim != 2 or logits.shape[1] != len(self._empty[1]):
            raise UsageError(f"logits must be (B, {len(self._empty[1])}), got {tuple(logits.shape)}")
        if not torch.isfinite(logits).all():
            raise NextsetError("logits are not finite, so there is no Inception Score; look at the samples")
        log_p = logits.detach().cpu().double().log_softmax(1)
        while len(log_p):
            if not self.parts or self.parts[-1][0] == self.part:
                self.parts.append(self._empty)
            count, total, own = self.parts[-1]
            now, log_p = log_p[: self.part - count], log_p[self.part - count :]
            terms = now.exp() * now
            self.parts[-1] = (count + len(now), total + now.exp().sum(0), own + terms.sum().item())

    @property
    def scores(self) -> list[float]:
        """Of each part."""
        return [math.exp(max(0.0, own / n - torch.xlogy(p / n, p / n).sum().item())) for n, p, own in self.parts]

    @property
    def mean(self) -> float:
        """Over the parts. Raises UsageError before any picture came."""
        if not self.parts:
            raise UsageError("an Inception Score needs at least one picture")
        return sum(self.scores) / len(self.parts)

    @property
    def error(self) -> float | None:
        """Standard error of the mean over the parts; None for one part."""
        if len(self.parts) < 2:
            return None
        return torch.tensor(self.scores, dtype=torch.float64).std().item() / math.sqrt(len(self.parts))
