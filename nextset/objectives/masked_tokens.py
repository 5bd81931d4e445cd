"""MaskGIT's objective: the cross entropy of tokens under a mask, whatever share of them is masked (Chang et al. 2022, arXiv 2202.04200).

For each sample u is uniform and round(N share(u)) random sites, at least one, are masked; the loss is the mean over all masked sites of the
batch. Sites that are seen may count a little too. It is no bound of a likelihood: see any_order.py for one.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..errors import UsageError
from ..layout import Tokens
from ..nn.masking import Arccos, Masking
from ..noise import Noise
from .base import Scorer
from .revealing import Revealing, revealed_losses


@dataclass(frozen=True)
class MaskedTokens(Revealing):
    """`masking` turns u into the share of masked sites; a site that is seen weighs `seen` (0.1 in 1d-tokenizer) against 1."""

    masking: Masking = Arccos()
    seen: float = 0.1

    def __post_init__(self) -> None:
        if self.seen < 0:
            raise UsageError(f"{self}: seen must not be negative")

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """{"loss", and "masked", the plain mean over masked sites}."""
        noise = Noise(seed, range(len(tokens)), tokens.data.device)
        sites = network.layout.sites
        share = self.masking.share(noise.uniform(1)).clamp(1e-6, 1.0)
        known = noise.permutation(sites) >= (share * sites).round().clamp(min=1)
        losses = revealed_losses(network, tokens, condition, known)
        weights = known * self.seen + ~known
        masked = (losses.detach() * ~known).sum() / (~known).sum()
        return {"loss": (losses * weights).sum() / weights.sum(), "masked": masked}
