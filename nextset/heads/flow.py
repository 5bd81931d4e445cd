"""Flow matching by the backbone: a linear map gives the velocity of a noisy token (xAR, Ren et al. 2025, arXiv 2502.20388)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Codec, Continuous, Unit
from ..nn.flow import EulerMaruyama, FlowSolver, between
from ..noise import Noise
from .base import Ask, Head, Picker
from .denoiser import DenoiserModule


class FlowModule(DenoiserModule):
    """The velocity."""

    def __init__(self, spec: Flow, dim: int, channels: int) -> None:
        super().__init__(dim, channels, spec.std)
        self.solver = spec.solver

    def levels(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Logit-normal: the sigmoid of a standard normal number."""
        return torch.randn(like.shape, generator=generator, device=like.device).sigmoid()

    def noised(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """On the straight line from the token to the noise."""
        return between(clean, noise, level[..., None])

    def wanted(self, clean: Tensor, noise: Tensor) -> Tensor:
        """noise - token."""
        return noise - clean

    def draw(self, noise: Noise, sites: int) -> Tensor:
        """What the solver takes, (B, sites, S, C)."""
        return noise.normal(sites, self.solver.normals, self.channels)

    def answer(self, ask: Ask, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Solves the flow of all tokens of a step at once, from (B, n, S, C)."""
        return self.solver.solve(lambda x, t: self.asked(ask, scale, x, t).to(x.dtype), drawn, pick.temperature)


@dataclass(frozen=True)
class Flow(Head):
    """`std` is that of the initial map. The temperature of a pick scales the noise that a solver adds on its way."""

    solver: FlowSolver = EulerMaruyama()
    std: float = 0.02

    def build(self, dim: int, unit: Unit, codec: Codec) -> FlowModule:
        """The map."""
        if not isinstance(unit, Continuous):
            raise UsageError(f"head Flow needs vectors, but this tokenizer gives {unit}")
        return FlowModule(self, dim, unit.dim)
