"""Code vectors: `Shift`, whose tokens are the tokenizer's own vectors in place of a learned table (RQ-Transformer, arXiv 2203.01941).

    slot of site t = position of t + sum over the codes of t of (A e(k) + b)

Legend: B batch, N sites, P condition slots, Q codes a site, D width of a slot, C of a code vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..heads import Noisy
from ..layout import Codec, Continuous, Layout, Unit
from ..orders.base import Plan
from .base import Call, WiringModule
from .shift import OneByOne


class CodedModule(WiringModule):
    """The map of code vectors, and a position a site."""

    def __init__(self, dim: int, codes: int, layout: Layout, codec: Codec, std: float) -> None:
        super().__init__()
        self.codes, self.vectors_of = codes, codec.embed
        inputs = codec.embed(torch.zeros(1, codes, dtype=torch.int64)).shape[-1]
        self.project = nn.Linear(inputs, dim)
        self.position = nn.Parameter(torch.empty(layout.sites, dim).normal_(std=std))
        nn.init.normal_(self.project.weight, std=std)
        nn.init.zeros_(self.project.bias)

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots as they come, then positions and mapped codes."""
        ids = plan.to_ranks(tokens, call.held)
        vectors = self.vectors_of(ids) if ids.ndim == 2 else self.vectors_of(ids).sum(2)
        mapped = self.project(vectors.to(self.project.weight.dtype)) + (self.codes - 1) * self.project.bias
        return call.arrange(prefix, mapped + self.position[plan.perm[..., call.held]])


@dataclass(frozen=True)
class Coded(OneByOne):
    """One site a step, plain causal mask; needs a tokenizer with code vectors. `std` is that of the initial weights."""

    std: float = 0.02

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> CodedModule:
        """The map and the positions."""
        if isinstance(unit, Continuous):
            raise UsageError("wiring Coded embeds ids; this tokenizer gives latents")
        return CodedModule(dim, unit.codes, layout, codec, self.std)
