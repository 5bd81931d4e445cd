"""Ancestral unmasking: each site becomes known in a step of its own, drawn beforehand (MD4, arXiv 2406.04329; D3PM, arXiv 2107.03006).

A masked site stays masked in step i with probability share(g(i)) / share(g(i - 1)), whatever it is and whatever the others do. So the
steps may be drawn at once: u uniform, and the site is masked after step i iff u < share(g(i)). How many sites a step takes thus
differs from sample to sample. In the last step everything that is left is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Layout
from ..nn.masking import Masking, Power
from ..noise import Noise
from .base import Adaptive, Chooser, Order
from .random import Random


class UnmaskingChooser(Chooser):
    """Keeps what is due; `due` (B, N) is the step in which each site becomes known."""

    def __init__(self, due: Tensor) -> None:
        self.due = due
        self.active = due.unique().tolist()

    def known_after(self, step: int, known: Tensor, free: Tensor, confidence: Tensor | None) -> Tensor:
        """Everything due by now."""
        return known | (self.due <= step)


@dataclass(frozen=True)
class Unmasking(Adaptive):
    """`steps` steps. The share that stays masked after i of K is that of `masking` at 1 - `grid` (i / K).

    `grid` Power() is an even grid of times; Cosine() is MD4's cosine grid, which with the linear `masking` unmasks just as the
    cosine `masking` on an even grid does.
    """

    steps: int
    masking: Masking = Power()
    grid: Masking = Power()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"{self}: steps must be 1 or more")

    @property
    def shares(self) -> tuple[float, ...]:
        """The share that is masked after each step; 0 after the last."""
        times = (self.grid.at(step / self.steps) for step in range(1, self.steps))
        return (*(self.masking.at(1 - time) for time in times), 0.0)

    def counts(self, layout: Layout) -> tuple[int, ...]:
        """On average, rounded; at least one a step where there are as many sites as steps."""
        sites, done = layout.sites, [0]
        for step, share in enumerate(self.shares, 1):
            wanted = round(sites * (1 - share))
            if self.steps <= sites:
                wanted = min(max(wanted, done[-1] + 1), sites - (self.steps - step))
            done.append(wanted)
        return tuple(b - a for a, b in zip(done, done[1:], strict=False))

    def chooser(self, layout: Layout, noise: Noise) -> UnmaskingChooser:
        """With a step for every site."""
        uniform = noise.uniform(layout.sites)
        shares = torch.tensor(self.shares, dtype=uniform.dtype, device=uniform.device)
        return UnmaskingChooser((uniform[..., None] < shares).sum(-1))

    def trained(self, progress: float = 1.0) -> Order:
        """Any order."""
        return Random()
