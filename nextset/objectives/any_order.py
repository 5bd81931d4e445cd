"""The likelihood of any order, from one pass: what ARDM trains (Hoogeboom et al. 2021, arXiv 2110.02037).

With t of N sites known, t uniform in 0 .. N - 1 and the order uniform,

    -ln p(x) / N  <=  E  1 / (N - t) * sum over unknown sites of -ln p(x_i | known)

in nats a site, equal to what teacher forcing in random orders gives on average. Legend: B batch, N sites.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..layout import Tokens
from ..noise import Noise, mix, spread
from .base import Scorer
from .revealing import Revealing, revealed_losses


@dataclass(frozen=True)
class AnyOrder(Revealing):
    """t is spread evenly over the batch, so the estimate varies less; each sample has an order of its own."""

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """{"loss"}: an unbiased estimate of the bound, in nats a site."""
        sites, device = network.layout.sites, tokens.data.device
        count = (spread(seed, len(tokens), device) * sites).floor()[:, None]
        known = Noise(seed, range(len(tokens)), device).permutation(sites) < count
        return {"loss": _means(network, tokens, condition, known).mean()}


@torch.no_grad()
def costs(network: Scorer, tokens: Tokens, condition: Tensor, seed: int = 0) -> Tensor:
    """L (N,): the mean cost of a site in nats when t = 0 .. N - 1 sites are known, over the batch, in an order of its own for each t.

    Their sum bounds -ln p(x) of a whole picture on average; orders/budget.py makes steps of them.
    """
    sites, device = network.layout.sites, tokens.data.device
    found = []
    for count in range(sites):
        order = Noise(mix(seed, "costs", count), range(len(tokens)), device).permutation(sites)
        found.append(_means(network, tokens, condition, order < count).mean())
    return torch.stack(found)


def _means(network: Scorer, tokens: Tokens, condition: Tensor, known: Tensor) -> Tensor:
    """The mean loss of the unknown sites of each sample, (B,)."""
    losses = revealed_losses(network, tokens, condition, known)
    return (losses * ~known).sum(1) / (~known).sum(1)
