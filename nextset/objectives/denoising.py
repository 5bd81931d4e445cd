"""Denoising steps: every step of the plan gets noise of its own level, and the network says what the noise did.

With clean context a step sees the earlier ones as they are (ACDiT, arXiv 2412.07720), with noisy context as noisy as they happen to
be in the same pass (noisy context learning: xAR, arXiv 2502.20388), which halves the sequence and gets the network used to mistakes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ..conditions import Conditioning
from ..errors import UsageError
from ..heads import HeadModule, Noisy
from ..heads.denoiser import DenoiserModule
from ..layout import Tokens
from ..nn.precision import at_least_float32
from ..noise import mix
from ..orders import Plan
from .base import Objective, Scorer


class Denoising(Objective, ABC):
    """The mean squared error of the head on noisy tokens."""

    def check(self, network: Scorer) -> None:
        """The head must denoise."""
        _denoiser(network.head)

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """{"loss": scalar}. Levels and noise follow from `seed`."""
        head, plan = _denoiser(network.head), network.plan(seed, len(tokens), tokens.data.device, progress)
        clean = at_least_float32(plan.to_ranks(tokens.data))
        noise, noisy = disturbed(head, clean, plan.sizes, seed)
        hidden = self.hidden(network, tokens.data, network.conditioned(condition), plan, noisy)
        return {"loss": head.loss(hidden, head.wanted(clean, noise)).mean()}

    @abstractmethod
    def hidden(self, network: Scorer, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy) -> Tensor:
        """Hidden vectors (B, N, D) by rank of the noisy tokens."""


@dataclass(frozen=True)
class CleanContext(Denoising):
    """Earlier steps are clean."""

    def hidden(self, network: Scorer, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy) -> Tensor:
        """Noisy tokens beside clean ones."""
        return network.hidden(tokens, conditioning, plan, noisy)


@dataclass(frozen=True)
class NoisyContext(Denoising):
    """Earlier steps are at their own noise levels. The wiring must have slots for that (`Wiring.noised`)."""

    def hidden(self, network: Scorer, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy) -> Tensor:
        """Noisy tokens alone."""
        return network.noised(tokens, conditioning, plan, noisy)


def disturbed(head: DenoiserModule, clean: Tensor, sizes: tuple[int, ...], seed: int) -> tuple[Tensor, Noisy]:
    """Noise for tokens by rank (B, N, C), and the tokens with it, each step at one level of its own."""
    generator = torch.Generator(clean.device).manual_seed(mix(seed, "noise"))
    steps = head.levels(clean.new_empty(len(clean), len(sizes)), generator)
    level = steps.repeat_interleave(torch.tensor(sizes, device=clean.device), dim=1, output_size=sum(sizes))
    noise = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
    return noise, Noisy(head.noised(clean, noise, level), level)


def _denoiser(head: HeadModule) -> DenoiserModule:
    if not isinstance(head, DenoiserModule):
        raise UsageError(
            f"objectives of noise need a head that denoises, such as Flow(), not {type(head).__name__.removesuffix('Module')}"
        )
    return head
