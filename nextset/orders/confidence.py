"""Adaptive order: in every step all unknown sites are drawn, and those that the model is surest of are kept (MaskGIT, arXiv 2202.04200).

After step k of K, with r = k / K, floor(N share(r)) sites stay masked, at least one and at least one fewer than before; none after the
last. How sure the head is of a site is disturbed by Gumbel noise, so that the same sites are not always first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..nn.masking import Arccos, Masking
from ..noise import Noise
from .base import Adaptive, Chooser, Order
from .random import Random


class ConfidenceChooser(Chooser):
    """Keeps the surest; `uniform` (B, K, N) are the numbers behind the Gumbel noise."""

    confident = True

    def __init__(self, spec: Confidence, layout: Layout, uniform: Tensor) -> None:
        self.spec, self.uniform = spec, uniform
        self.active = [step for step, count in enumerate(spec.counts(layout)) if count]
        self.drafts = spec.steps

    def softened(self, step: int) -> tuple[float, float]:
        """Both go linearly to their last value."""
        return self._between(self.spec.temperature, step), self._between(self.spec.divisor, step)

    def known_after(self, step: int, known: Tensor, free: Tensor, confidence: Tensor | None) -> Tensor:
        """All but the least sure."""
        assert confidence is not None, "a chooser that is confident is told"
        if step == self.spec.steps - 1:
            return torch.ones_like(known)
        noise = gumbel(self.uniform[:, step]) * self._between(self.spec.noise, step)
        sure = torch.where(known, torch.inf, confidence + noise)
        masked = (~known).sum(1, keepdim=True)
        share = self.spec.masking.at((step + 1) / self.spec.steps)
        stay = (free.double() * share).floor().long().minimum(masked - 1).clamp(min=1)
        return known | (sure.argsort(1).argsort(1) >= stay)

    def _between(self, ends: tuple[float, float], step: int) -> float:
        first, last = ends
        return last + (first - last) * (1.0 - (step + 1) / self.spec.steps)


def gumbel(uniform: Tensor, least: float = 1e-20) -> Tensor:
    """Standard Gumbel numbers of uniform ones."""
    return -(-uniform.clamp(min=least).log()).clamp(min=least).log()


@dataclass(frozen=True)
class Confidence(Adaptive):
    """`steps` along the curve `masking`.

    Pairs are values at r = 0 and at r = 1, in between on a line: `noise` is the scale of the Gumbel noise on confidences,
    `temperature` that of drawing a token, and logits are divided by `divisor` for both purposes.
    """

    steps: int
    masking: Masking = Arccos()
    noise: tuple[float, float] = (4.5, 0.0)
    temperature: tuple[float, float] = (1.0, 1.0)
    divisor: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if self.steps < 1 or min(*self.noise, *self.temperature) < 0 or min(self.divisor) <= 0:
            raise UsageError(f"{self}: steps must be 1 or more, divisor above 0, noise and temperature not negative")

    @property
    def confident(self) -> bool:
        """It keeps what the head is surest of."""
        return True

    def counts(self, layout: Layout) -> tuple[int, ...]:
        """What is kept in each step where nothing is given. Raises UsageError for more steps than sites."""
        if self.steps > layout.sites:
            raise UsageError(f"steps must be 1 to {layout.sites}, the sites, got {self.steps}")
        left = [layout.sites]
        for step in range(1, self.steps):
            left.append(max(1, min(left[-1] - 1, int(layout.sites * self.masking.at(step / self.steps)))))
        return tuple(a - b for a, b in zip(left, [*left[1:], 0], strict=True))

    def chooser(self, layout: Layout, noise: Noise) -> ConfidenceChooser:
        """With numbers for every step and site."""
        return ConfidenceChooser(self, layout, noise.uniform(self.steps, layout.sites))

    def trained(self, progress: float = 1.0) -> Order:
        """Any order."""
        return Random()
