"""What every objective promises: a scalar loss of a batch of tokens under a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..conditions import Conditioning, ConditionModule
from ..heads import HeadModule, Noisy
from ..layout import Layout, Tokens
from ..orders import Plan
from ..spec import Spec
from ..tokenizers.base import TokenizerModule


class Scorer(Protocol):
    """What an objective may ask of a network (nextset/system.py)."""

    condition: ConditionModule
    head: HeadModule
    layout: Layout
    training: bool

    @property
    def pools(self) -> bool:
        """Whether several ids may lie at a site, (B, N, m), and count as the mean of their embeddings."""

    def conditioned(self, condition: Tensor, drop: bool = True) -> Conditioning:
        """Embeds prepared conditions; in training mode some are dropped at random unless `drop` is off."""

    def plan(self, seed: int, batch: int, device: torch.device, progress: float = 1.0) -> Plan:
        """The plan of a batch whose order is drawn from `seed`, at `progress` in [0, 1] of the training."""

    def hidden(self, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy | None = None) -> Tensor:
        """Teacher-forced hidden vectors (B, N, D) by rank: row r is all that predicting rank r may use."""

    def hidden_with_prefix(self, tokens: Tensor, conditioning: Conditioning, plan: Plan) -> tuple[Tensor, Tensor]:
        """The hidden vectors of the condition slots (B, P, D), and `hidden`, from one pass."""

    def hidden_at(self, step: int, tokens: Tensor, conditioning: Conditioning, plan: Plan) -> Tensor:
        """Those of one step alone (B, n, D), where every step is encoded afresh."""

    def noised(self, tokens: Tensor, conditioning: Conditioning, plan: Plan, noisy: Noisy) -> Tensor:
        """Hidden vectors (B, N, D) by rank where steps see earlier ones as noisy as they are (wiring Beside)."""

    def revealed(self, tokens: Tensor, known: Tensor, conditioning: Conditioning) -> Tensor:
        """Hidden vectors (B, N, D) by site, where each sample knows its own sites, (B, N) bool (wiring Masked)."""

    def site_losses(
        self, tokens: Tokens, condition: Tensor, seed: int, drop: bool = True, progress: float = 1.0
    ) -> Tensor:
        """The head's loss at every site, (B, N), teacher-forced in an order drawn from `seed`."""


@dataclass(frozen=True)
class Objective(Spec, ABC):
    """Describes what training minimises."""

    @property
    def afresh(self) -> bool:
        """Whether it asks for hidden vectors of single steps, so that the wiring must encode every step afresh."""
        return False

    @property
    def reveals(self) -> bool:
        """Whether it shows each sample sites of its own (`Scorer.revealed`), which only wiring Masked can."""
        return False

    @property
    def pictures(self) -> bool:
        """Whether it has a say in how pictures are encoded (`practised`), so that it cannot train on tokens that already are."""
        return False

    def check(self, network: Scorer) -> None:
        """Raises UsageError where it cannot be had of a network."""

    def practised(self, tokenizer: TokenizerModule, images: Tensor, layout: Layout, seed: int) -> Tokens:
        """What training makes of images (B, C, H, W) on `layout`, for `loss`: the tokenizer's tokens, those of `seed` where it draws."""
        return tokenizer.drawn(images, layout, seed)

    @abstractmethod
    def loss(
        self, network: Scorer, tokens: Tokens, condition: Tensor, seed: int, progress: float = 1.0
    ) -> dict[str, Tensor]:
        """The scalar to minimise under "loss", beside scalars worth logging; `condition` as the condition part prepared it.

        `progress` in [0, 1] is how far the training is, for objectives and orders that change on the way. What is random follows
        from `seed`, but for dropout and the noise of heads, which are torch's own, as the trainer seeds them.
        """
