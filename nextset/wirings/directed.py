"""Shift wiring that knows where the walk goes: each token's slot also says which way the site that it predicts lies.

A direction is, axis by axis, whether the next site has a smaller, an equal or a larger coordinate: 3^A of them on A axes, of which
DAR's diagonal walk (arXiv 2503.11129) uses four. A slot that sits nowhere, or after which nothing comes, has one direction more.

Legend: A axes, B batch, L slots of a call, N sites, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..heads import Noisy
from ..layout import Codec, Layout, Unit
from ..nn.embedding import CodeVectors, Embedding
from ..orders.base import Plan
from .base import Call, WiringModule
from .shift import OneByOne


class DirectedModule(WiringModule):
    """The embedding of tokens, and a row for each direction."""

    def __init__(self, spec: Directed, dim: int, unit: Unit, layout: Layout, codec: Codec) -> None:
        super().__init__()
        self.layout = layout
        self.embed = spec.embed.build(dim, unit, codec)
        self.nowhere = 3 ** len(layout.axes)
        self.directions = nn.Embedding(self.nowhere + 1, dim)
        nn.init.normal_(self.directions.weight, std=spec.std)
        self._coordinates: dict[torch.device, Tensor] = {}

    def fill(self, call: Call, prefix: Tensor, tokens: Tensor, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Condition slots and embedded tokens, each with its direction."""
        contents = call.arrange(prefix, self.embed(plan.to_ranks(tokens, call.held)))
        return contents + self.directions(self.moves(call.sites(plan), call.targets(plan)))

    def moves(self, site: Tensor, target: Tensor) -> Tensor:
        """The direction from each site to each target, both (L,) or (B, L) with -1 for none, as a row of the table."""
        if site.device not in self._coordinates:
            self._coordinates[site.device] = self.layout.coordinates().to(site.device)
        coordinates = self._coordinates[site.device]
        move = torch.zeros_like(site)
        for step in (coordinates[target] - coordinates[site]).sign().unbind(-1):
            move = 3 * move + step + 1
        return torch.where((site < 0) | (target < 0), self.nowhere, move)


@dataclass(frozen=True)
class Directed(OneByOne):
    """One token a step, plain causal mask, any order. `embed` makes vectors of tokens; `std` of the initial directions."""

    embed: Embedding = CodeVectors()
    std: float = 0.02

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> DirectedModule:
        """The embedding and the table of directions."""
        return DirectedModule(self, dim, unit, layout, codec)
