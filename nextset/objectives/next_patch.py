"""Next patch first, next token at the end of training (Pang et al. 2024, arXiv 2412.15321).

In a patch stage tokens are cut into blocks of p x p, in raster order. A slot holds the mean of the embeddings of a patch and sits at the
patch's place among patches; one distribution predicts all p^2 ids of the next patch:

    loss = mean over patches k, and over the ids x of patch k, of -ln p(x | patches before k, c)

A slot costs the same and stands for p^2 tokens. Nothing is new in the network, which goes on as it is when p halves.

Legend: B batch, M patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..heads.categorical import CategoricalModule
from ..layout import Layout, Tokens
from ..orders import Plan
from .base import Objective, Scorer


@dataclass(frozen=True)
class NextPatch(Objective):
    """Patches of 2^(levels - 1) a side until `rate`^(levels - 1) of the training, of half that until `rate`^(levels - 2), ...;
    single tokens after `rate` of it."""

    levels: int = 2
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.levels < 1 or not 0 < self.rate < 1:
            raise UsageError(f"{self}: levels must be at least 1 and rate between 0 and 1")

    def side(self, progress: float) -> int:
        """p, the side of a patch at `progress` in [0, 1] of the training."""
        return 1 << sum(progress < self.rate**level for level in range(1, self.levels))

    def check(self, network: Scorer) -> None:
        """Raises UsageError where tokens cannot be cut into patches, or patches neither embedded nor predicted."""
        side = self.side(0.0)
        if side == 1:
            return
        if network.layout.axes != ("y", "x") or any(length % side for length in network.layout.shape):
            raise UsageError(f"{self} needs a grid that patches of {side} x {side} cut evenly, not {network.layout}")
        if not network.pools:
            raise UsageError(f"{self} needs a wiring that embeds a patch as the mean of its tokens; use Shift")
        if not isinstance(network.head, CategoricalModule):
            raise UsageError(f"{self} predicts a patch by one categorical distribution; use head Categorical")

    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """{"loss": scalar}; that of single tokens is NextSet's."""
        side = self.side(progress)
        if side == 1:
            return {"loss": network.site_losses(tokens, condition, seed, progress=progress).mean()}
        sites = corners(tokens.layout, side, tokens.data.device)
        ids = patches(tokens, side)
        placed = ids.new_zeros(len(ids), tokens.layout.sites, side * side).index_copy_(1, sites, ids)
        hidden = network.hidden(placed, network.conditioned(condition), Plan(sites, (1,) * len(sites)))
        return {"loss": network.head.loss(hidden, ids).mean()}


def patches(tokens: Tokens, side: int) -> Tensor:
    """The ids of every patch, (B, M, p^2), both row by row."""
    height, width = tokens.layout.shape
    blocks = tokens.data.reshape(-1, height // side, side, width // side, side)
    return blocks.transpose(2, 3).flatten(3).flatten(1, 2)


def corners(layout: Layout, side: int, device: torch.device) -> Tensor:
    """The sites whose coordinates are those of each patch among patches, (M,): the corner of the grid that is M sites large."""
    height, width = layout.shape
    sites = torch.arange(height * width, device=device).reshape(height, width)
    return sites[: height // side, : width // side].flatten()
