"""Diffusion by the backbone: a linear map gives the noise in a token (DiT; blockwise: ACDiT, Hu et al. 2024, arXiv 2412.07720)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Codec, Continuous, Unit
from ..nn import dpm
from ..noise import Noise
from .base import Ask, Head, Picker
from .denoiser import DenoiserModule


class EpsilonModule(DenoiserModule):
    """The noise. Level (k + 1/2) / 1000 is step k of the schedule, so that rounding down finds k again in any precision."""

    def __init__(self, spec: Epsilon, dim: int, channels: int) -> None:
        super().__init__(dim, channels, spec.std)
        self.steps = spec.steps
        self._signal: dict[torch.device, Tensor] = {}

    def levels(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Every step of the schedule is as likely."""
        return (torch.randint(dpm.STEPS, like.shape, generator=generator, device=like.device) + 0.5) / dpm.STEPS

    def noised(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """a token + s noise."""
        if level.device not in self._signal:
            with torch.inference_mode(False):  # what is kept must also serve training
                self._signal[level.device] = torch.tensor(dpm.signal(), device=level.device)
        a = self._signal[level.device][(level * dpm.STEPS).long()][..., None].to(clean.dtype)
        return a * clean + (1 - a * a).sqrt() * noise

    def wanted(self, clean: Tensor, noise: Tensor) -> Tensor:
        """The noise."""
        return noise

    def draw(self, noise: Noise, sites: int) -> Tensor:
        """Where the solver starts, (B, sites, C)."""
        return noise.normal(sites, self.channels)

    def answer(self, ask: Ask, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Solves for all tokens of a step at once, from (B, n, C)."""
        return dpm.solve(lambda x, k: self.asked(ask, scale, x, (k + 0.5) / dpm.STEPS).to(x.dtype), drawn, self.steps)


@dataclass(frozen=True)
class Epsilon(Head):
    """`steps` of the solver, which adds no noise; `std` of the initial map, 0 as in DiT."""

    steps: int = 25
    std: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.steps < dpm.STEPS:
            raise UsageError(f"{self}: steps must be 1 to {dpm.STEPS - 1}")

    def build(self, dim: int, unit: Unit, codec: Codec) -> EpsilonModule:
        """The map."""
        if not isinstance(unit, Continuous):
            raise UsageError(f"head Epsilon needs vectors, but this tokenizer gives {unit}")
        return EpsilonModule(self, dim, unit.dim)
