"""A phase is one optimiser's share of a training step: generators have one, a tokenizer with an adversary two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones.base import BackboneModule
from ..data.batch import Batch
from .recipe import Recipe


class Phase(ABC):
    """What is optimised together, and how it is called."""

    name: str
    module: nn.Module  # wrapped by the trainer for several devices; called with `inputs`, returns figures with "loss"

    @abstractmethod
    def inputs(self, batch: Batch, step: int, seed: int) -> tuple[Any, ...]:
        """The arguments of `module` for a batch; `seed` differs from part to part and from process to process."""


class Trainee(ABC):
    """Something to train: its phases, how it is saved, and what to show of it.

    All phases' gradients are computed before any of their optimisers steps.
    """

    phases: Sequence[Phase]
    # whether it starts from trained weights, which are then judged and shown before the first step
    loaded: bool = False
    shows: bool = True  # whether there are pictures to look at

    @abstractmethod
    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Writes a loadable folder with these weights of the first phase's module."""

    @abstractmethod
    def picture(self, batch: Batch) -> Tensor:
        """Images worth a look (B, C, H, W): samples for a generator, originals beside reconstructions for a tokenizer."""

    def after(self, step: int) -> dict[str, float]:
        """Called once the optimisers have stepped; returns figures to log."""
        return {}


def checkpoint_activations(module: nn.Module, wanted: bool) -> None:
    """Has the backbones inside recompute their activations in the backward pass, or keep them."""
    for part in module.modules():
        if isinstance(part, BackboneModule):
            part.checkpointing = wanted


def optimiser(module: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that decays matrices and tables only."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.lr, betas=(0.9, recipe.beta2), fused=fused)
