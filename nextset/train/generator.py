"""Training a generator: the network of a model on tokens of its frozen tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data.batch import Batch
from ..model import Model
from .phase import Phase, Trainee


class Generator(Trainee):
    """One phase: the objective of the system, over so many `steps`."""

    def __init__(self, model: Model, steps: int, loaded: bool = False) -> None:
        self.model, self.loaded, self.shows = model, loaded, model.system.tokenizer.paints
        self.phases = [NetworkPhase(model, steps)]

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """The model with these network weights, as `Model.save_pretrained` writes it."""
        state = {f"network.{k}": v for k, v in weights.items()}
        state |= {f"tokenizer.{k}": v for k, v in self.model.tokenizer.state_dict().items()}
        self.model.save_pretrained(folder, state)

    def picture(self, batch: Batch) -> Tensor:
        """Samples for the conditions of the batch's first 16 items."""
        condition = self.model.system.condition.of(batch.labels[:16], batch.captions[:16])
        return self.model.generate(condition, count=len(batch.labels[:16]), seed=0)


class NetworkPhase(Phase):
    """The network on tokens, encoded here in full precision and without gradient."""

    name = "network"

    def __init__(self, model: Model, steps: int) -> None:
        self.model, self.module, self.steps = model, model.network, steps

    def inputs(self, batch: Batch, step: int, seed: int) -> tuple[Any, ...]:
        """(tokens, prepared conditions, seed, progress of the training in [0, 1], layout of the tokens)."""
        tokens, layout = batch.tokens, self.model.network.layout
        self.model.tokenizer.to(batch.images.device)  # parts of the network may read its code vectors
        if tokens is None:
            layout = self.model.network.practised(seed)
            objective = self.model.system.objective  # it encodes outside autocast: in full precision
            tokens = objective.practised(self.model.tokenizer, batch.images, layout, seed).data
        condition = self.model.system.condition.of(batch.labels, batch.captions)
        prepared = self.model.network.condition.prepare(condition, len(tokens), tokens.device)
        return tokens, prepared, seed, step / self.steps, layout
