"""Masked diffusion in continuous time: a weighted cross entropy that bounds the likelihood (MD4, Shi et al. 2024, arXiv 2406.04329).

At time t each site is masked with probability m(t), by itself, and in nats a site

    -ln p(x) / N  <=  E over t of  m'(t) / m(t) * 1 / N * sum over masked sites of -ln p(x_i | seen)

whose value is the same for every schedule m, and the same as that of any order (any_order.py); only its variance differs. Legend: N sites.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..errors import UsageError
from ..layout import Tokens
from ..nn.masking import Masking, Power
from ..noise import Noise, spread
from .base import Scorer
from .revealing import Revealing, revealed_losses


@dataclass(frozen=True)
class MaskedDiffusion(Revealing):
    """`masking` is the schedule, with time running backwards.

    m goes from `edge` to 1 - `edge`, which keeps the weight finite; what lies outside is at most edge ln V nats a site.
    """

    masking: Masking = Power()
    edge: float = 1e-4

    def __post_init__(self) -> None:
        if not 0 < self.edge < 0.5:
            raise UsageError(f"{self}: edge must be in (0, 0.5)")

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """{"loss"}: an unbiased estimate of the bound, in nats a site; times are spread evenly over the batch."""
        device = tokens.data.device
        share, weight = self.at(spread(seed, len(tokens), device)[:, None])
        uniform = Noise(seed, range(len(tokens)), device).uniform(network.layout.sites)
        known = uniform >= share
        losses = revealed_losses(network, tokens, condition, known) * ~known
        return {"loss": (losses * weight).mean()}

    def at(self, done: Tensor) -> tuple[Tensor, Tensor]:
        """m and m' / m at time 1 - done."""
        share = self.edge + (1 - 2 * self.edge) * self.masking.share(done)
        return share, (1 - 2 * self.edge) * self.masking.rate(done) / share
