"""Diffusion head: the distribution of a continuous token is a small diffusion model a site (MAR, arXiv 2406.11838).

    loss = mean over channels of (eps - eps(x_t, t, z))^2, plus the variational bound that teaches the variance, in bits

z is the backbone's hidden vector. Legend: B batch, n sites, C channels, D width of z, W inner width, S steps of sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..layout import Codec, Continuous, Unit
from ..nn.denoiser import Denoiser
from ..nn.diffusion import Chain, Even, Spacing, chain
from ..nn.precision import at_least_float32
from ..noise import Noise
from .base import Head, HeadModule, Picker


class DiffusionModule(HeadModule):
    """The denoiser, which also says where each variance lies between its bounds."""

    def __init__(self, spec: Diffusion, dim: int, channels: int) -> None:
        super().__init__()
        self.spec, self.channels = spec, channels
        self.net = Denoiser(channels, 2 * channels, dim, spec.width, spec.depth)

    def draw(self, noise: Noise, sites: int) -> Tensor:
        """Normal numbers (B, sites, S, C): where the chain starts, then those of every step but the last."""
        return noise.normal(sites, self.spec.spacing.count, self.channels)

    def loss(self, hidden: Tensor, target: Tensor) -> Tensor:
        """(B, n), the mean over `copies` noise levels of each token, from torch's own generator."""
        shape = (self.spec.copies * len(target), target.shape[1])
        t = torch.randint(self.spec.levels, shape, device=target.device)
        wide = at_least_float32(target)
        eps = torch.randn(*shape, self.channels, device=target.device, dtype=wide.dtype)
        error, bound = self.errors(hidden, wide, t, eps)
        return (error + bound).unflatten(0, (self.spec.copies, -1)).mean(0)

    def errors(self, hidden: Tensor, target: Tensor, t: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error and bound (M B, n) at places t (M B, n) with noise eps (M B, n, C), for M copies of the batch in turn."""
        copies, whole = len(t) // len(target), self._chain(target.device, training=True)
        origin = target.repeat(copies, 1, 1)
        x = whole.noised(origin, eps, t)
        guess, share = self._said(x, self.net.condition(hidden).repeat(copies, 1, 1) + self.net.times(whole.level[t]))
        return (guess - eps).square().mean(-1), whole.bound(origin, x, guess.detach(), share, t)

    def log_prob(self, hidden: Tensor, target: Tensor, unguided: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """Refused."""
        raise UsageError("head Diffusion has no tractable density; judge its samples, or compare its loss")

    def sample(self, hidden: Tensor, unguided: Tensor | None, scale: float, drawn: Tensor, pick: Picker) -> Tensor:
        """Tokens (B, n, C) in at least float32.

        Guidance acts on the noise that is told; both halves look at the same x_t, and the variance is the conditional one's. The
        temperature scales the noise of the steps and not that of the start; nothing else of `pick` applies to vectors.
        """
        steps = self._chain(hidden.device)
        both = hidden if unguided is None else torch.cat([hidden, unguided])
        condition, times = self.net.condition(both), self.net.times(steps.level)
        x = drawn[:, :, 0].to(at_least_float32(hidden).dtype)
        for done in range(len(steps)):
            t = len(steps) - 1 - done
            eps, share = self._guided(x, condition + times[t], scale)
            noise = drawn[:, :, done + 1].to(x.dtype) * pick.temperature if t else None
            x = steps.back(x, eps, share, t, noise)
        return x

    def _guided(self, x: Tensor, vector: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        if len(vector) == len(x):
            return self._said(x, vector)
        eps, share = self._said(torch.cat([x, x]), vector)
        conditional, other = eps.chunk(2)
        return other.lerp(conditional, scale), share[: len(x)]

    def _said(self, x: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """The noise in x (B, n, C), and the shares of its variance."""
        eps, share = at_least_float32(self.net(x, vector)).chunk(2, dim=-1)
        return eps, share

    def _chain(self, device: torch.device, training: bool = False) -> Chain:
        return chain(self.spec.levels, None if training else self.spec.spacing, device)


@dataclass(frozen=True)
class Diffusion(Head):
    """A denoiser of `depth` blocks of `width`, trained on `levels` of noise and sampled on those of `spacing`.

    A token is trained on at `copies` levels at once, for one pass of the backbone.
    """

    width: int
    depth: int
    spacing: Spacing = Even(100)
    copies: int = 4
    levels: int = 1000

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.copies) < 1:
            raise UsageError(f"{self}: width, depth and copies must be at least 1")
        self.spacing.visited(self.levels)

    def build(self, dim: int, unit: Unit, codec: Codec) -> DiffusionModule:
        """The denoiser."""
        if not isinstance(unit, Continuous):
            raise UsageError(f"head Diffusion draws vectors, but this tokenizer gives {unit}")
        return DiffusionModule(self, dim, unit.dim)
