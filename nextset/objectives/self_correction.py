"""Bitwise self-correction: a generator learns to make good the wrong bits of earlier scales (Infinity, Han et al. 2024, arXiv 2412.04431).

While a picture is encoded, bits are flipped at random, and every scale quantises what the flipped scales before it have left. The network
is shown the flipped bits, and predicts the ones before flipping:

    loss = sum over tokens of w_k mean over bits of -ln p(bit | flipped bits of scales before, c),   w_k ~ 1 / sqrt(tokens of scale k)

where the weights add up to 1. Flips and labels both travel in the tokens of a batch, as bit + 2 flipped. Tokens that are bits alone have no
flips, and are predicted as they are. Legend: B batch, N tokens, Q bits a token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..heads.independent import IndependentModule
from ..layout import Layout, Tokens
from ..noise import mix
from ..tokenizers.base import TokenizerModule
from ..tokenizers.bsq import MultiScaleBSQModule
from .base import Objective, Scorer


@dataclass(frozen=True)
class SelfCorrection(Objective):
    """In each of the first `scales` scales one share of the bits, out of 0, 0.01, ... `strength`, is drawn for the batch and flipped.

    Without `reweighted` all tokens weigh the same.
    """

    strength: float = 0.3
    scales: int = 13
    reweighted: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1 or self.scales < 0:
            raise UsageError(f"{self}: strength must be in [0, 1], and scales not negative")

    @property
    def pictures(self) -> bool:
        """Flips take the encoder, unless there are none."""
        return self.strength > 0 and self.scales > 0

    def check(self, network: Scorer) -> None:
        """Asks for bits on a pyramid, and a head that takes each by itself."""
        head = network.head
        if not isinstance(head, IndependentModule) or head.project.out_features != 2 * head.codes:
            raise UsageError(f"{self} corrects bits; use a tokenizer such as MultiScaleBSQ and head Independent()")
        if network.layout.axes[0] != "scale":
            raise UsageError(f"{self} corrects scales by later ones, but there are none on {network.layout}")

    def practised(self, tokenizer: TokenizerModule, images: Tensor, layout: Layout, seed: int) -> Tokens:
        """Bits, and which are flipped, (B, N, Q) int64 in 0..3."""
        if not self.pictures:
            return tokenizer.encode_on(images, layout)
        if not isinstance(tokenizer, MultiScaleBSQModule):
            name = type(tokenizer).__name__.removesuffix("Module")
            raise UsageError(f"{self} needs a tokenizer that encodes on after a flip, MultiScaleBSQ, not {name}")
        flips = self.flips(len(images), tokenizer.spec.unit.codes, layout, seed).to(images.device)
        return Tokens(tokenizer.corrected(images, layout, flips).data + 2 * flips, layout)

    def flips(self, batch: int, codes: int, layout: Layout, seed: int) -> Tensor:
        """Which bits of a batch are flipped, (B, N, Q) bool, drawn on the CPU."""
        generator = torch.Generator().manual_seed(mix(seed, "flips"))
        found = []
        for scale, block in enumerate(layout.blocks):
            most = round(100 * self.strength) if scale < self.scales else 0
            share = torch.randint(most + 1, (), generator=generator, device="cpu") * 0.01
            uniform = torch.rand(batch, math.prod(block), codes, generator=generator, device="cpu")
            found.append(uniform < share)
        return torch.cat(found, dim=1)

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """{"loss": scalar}, in nats a bit."""
        assert isinstance(network.head, IndependentModule), "Network has asked check"
        wanted, flipped = tokens.data % 2, tokens.data // 2
        plan = network.plan(seed, len(tokens), tokens.data.device, progress)
        hidden = network.hidden(wanted ^ flipped, network.conditioned(condition), plan)
        losses = plan.to_sites(network.head.losses(hidden, plan.to_ranks(wanted)).mean(-1))
        return {"loss": (losses * self.weights(tokens.layout).to(losses)).sum(1).mean()}

    def weights(self, layout: Layout) -> Tensor:
        """What every token counts, (N,)."""
        areas = [math.prod(block) for block in layout.blocks]
        each = torch.tensor([area**-0.5 if self.reweighted else 1.0 for area in areas], device="cpu")
        weights = each.repeat_interleave(torch.tensor(areas, device="cpu"))
        return weights / weights.sum()
