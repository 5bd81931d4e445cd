"""Training a tokenizer: its own loss, an adversary and a perceptual distance behind one switch, and revival of dead codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..objectives.adversarial import TokenizerLoss, TokenizerLossModule
from ..pretrained import save_tokenizer
from ..spec import Spec
from ..tokenizers.base import Tokenizer, TokenizerModule
from .phase import Phase, Trainee

SHOWN = 8  # pictures of a grid, each beside its reconstruction


@runtime_checkable
class Revivable(Protocol):
    """A tokenizer whose codes can die."""

    def revive(self, images: Tensor) -> int:
        """Moves dead codes onto latents of `images`; how many moved."""


@dataclass(frozen=True)
class Revival(Spec):
    """Dead codes are moved onto latents every `every` steps (0: never), until the fraction `until` of the run is over."""

    every: int = 50
    until: float = 0.85


class TokenizerTrainee(Trainee):
    """A tokenizer phase and, where the loss has an adversary, the adversary's."""

    def __init__(self, spec: Tokenizer, loss: TokenizerLoss, revival: Revival, steps: int) -> None:
        self.spec, self.revival, self.steps = spec, revival, steps
        self.module = spec.build()
        criterion = loss.build(spec.channels)
        self.painting = PaintingPhase(self.module, criterion)
        self.phases = [self.painting, *([AdversaryPhase(criterion, self.painting)] if loss.gan else [])]

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """A tokenizer folder with these weights."""
        save_tokenizer(folder, self.spec, {key.removeprefix("tokenizer."): value for key, value in weights.items()})

    @torch.no_grad()
    def picture(self, batch: Batch) -> Tensor:
        """Originals, each followed by its reconstruction."""
        images = batch.images[:SHOWN]
        self.module.eval()
        again = self.module.decode(self.module.encode(images)).float().clamp(-1, 1)
        return torch.stack([images, again], 1).flatten(0, 1)

    def after(self, step: int) -> dict[str, float]:
        """Revives dead codes when it is time."""
        due = self.revival.every and (step + 1) % self.revival.every == 0
        if not due or step >= self.revival.until * self.steps or not isinstance(self.module, Revivable):
            return {}
        return {"revived": float(self.module.revive(self.painting.images))}


class Painting(nn.Module):
    """The tokenizer's forward pass in training: its own loss and what the criterion adds."""

    def __init__(self, tokenizer: TokenizerModule, criterion: TokenizerLossModule) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.beside = (criterion,)  # in a tuple: the adversary's weights belong to the other optimiser
        self.painted: list[Tensor] = []

    def forward(self, images: Tensor, step: int) -> dict[str, Tensor]:
        """The figures of a batch; in training the reconstruction is kept for the adversary."""
        figures = self.tokenizer.loss(images)
        reconstruction = figures.pop("reconstruction")
        added = self.beside[0].generator(images, reconstruction, step)
        if self.training and self.beside[0].patches is not None:
            self.painted.append(reconstruction.detach())
        return figures | added | {"loss": figures["loss"] + added["loss"]}


class PaintingPhase(Phase):
    """The tokenizer."""

    name = "tokenizer"
    module: Painting

    def __init__(self, tokenizer: TokenizerModule, criterion: TokenizerLossModule) -> None:
        self.module = Painting(tokenizer, criterion)
        self.images = torch.empty(0)

    def inputs(self, batch: Batch, step: int, seed: int) -> tuple[Any, ...]:
        """(images, step)."""
        self.images = batch.images
        self.module.beside[0].to(batch.images.device)
        return batch.images, step


class AdversaryPhase(Phase):
    """The adversary, on the reconstructions that the tokenizer has just made."""

    name = "adversary"

    def __init__(self, criterion: TokenizerLossModule, painting: PaintingPhase) -> None:
        self.module, self.painting = criterion, painting

    def inputs(self, batch: Batch, step: int, seed: int) -> tuple[Any, ...]:
        """(images, reconstructions, step)."""
        return batch.images, self.painting.module.painted.pop(0), step
