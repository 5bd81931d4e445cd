"""How much of its alphabet a tokenizer uses, and how many bits its tokens are.

    usage = codes that occur / V,    perplexity = exp(H),    H = - sum over codes of p ln p

for each code of a site, then averaged over them: V at most, when all codes are equally frequent.
Legend: B batch, N sites, Q codes a site, V vocabulary, H, W sides of a picture in pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Discrete


class CodeUsage:
    """Counts codes as tokens arrive."""

    def __init__(self, unit: Discrete) -> None:
        self.unit = unit
        self.counts = torch.zeros(unit.codes, unit.vocab, dtype=torch.int64)

    def add(self, ids: Tensor) -> None:
        """Takes in ids (B, N) or (B, N, Q). Raises UsageError for others than 0..V-1 or another Q."""
        rows = ids.reshape(-1, ids.shape[-1] if ids.ndim == 3 else 1).cpu()
        if ids.ndim not in (2, 3) or rows.shape[1] != self.unit.codes or ids.is_floating_point():
            raise UsageError(
                f"ids must be whole numbers (B, N{', Q' if self.unit.codes > 1 else ''}), got {tuple(ids.shape)}"
            )
        if len(rows) and (rows.min() < 0 or rows.max() >= self.unit.vocab):
            raise UsageError(
                f"ids must lie in 0..{self.unit.vocab - 1}, got {rows.min().item()} to {rows.max().item()}"
            )
        for row, column in zip(self.counts, rows.T, strict=True):
            row += column.bincount(minlength=self.unit.vocab)

    @property
    def count(self) -> int:
        """Sites seen."""
        return int(self.counts[0].sum())

    @property
    def usage(self) -> float:
        """Share of the alphabet that occurs."""
        return (self.counts > 0).double().mean().item()

    @property
    def entropies(self) -> Tensor:
        """(Q,) nats."""
        shares = self.counts.double() / max(1, self.count)
        return -torch.xlogy(shares, shares).sum(1)

    @property
    def perplexity(self) -> float:
        """exp(H), averaged over the codes of a site."""
        return self.entropies.exp().mean().item()

    def bits(self, sites: int, pixels: int) -> tuple[float, float]:
        """Bits a pixel of pictures of `sites` tokens and `pixels` = H W: as stored, and at the entropy of single codes."""
        stored = sites * self.unit.codes * math.log2(self.unit.vocab) / pixels
        return stored, sites * self.entropies.sum().item() / (math.log(2) * pixels)
