"""What decides the result of a training run (`Recipe`), and what does not (`Options`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UsageError
from ..spec import Spec


@dataclass(frozen=True)
class Recipe(Spec):
    """The optimisation: AdamW with warm-up, clipping and an average of the weights. Saved with the run; resuming needs the same."""

    steps: int = 1000
    """Optimiser steps."""
    batch: int = 64
    """Images a step, over all processes and accumulated parts."""
    accumulate: int = 1
    """Parts that a step's batch is cut into, to save memory."""
    lr: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Course of the learning rate after warm-up."""
    warmup: int = 50
    """Steps of linear warm-up."""
    final: float = 0.0
    """Where the cosine ends, as a fraction of the peak."""
    weight_decay: float = 0.05
    """Of matrices and tables; vectors are never decayed."""
    beta2: float = 0.95
    """AdamW's second decay (the first is 0.9)."""
    clip: float = 1.0
    """Largest norm of the gradient; 0: any."""
    ema: float = 0.999
    """Decay of the averaged weights, which are what is saved; 0: no average."""
    augment: bool = False
    """Random crops and flips."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; auto takes bfloat16 on CUDA devices that have it. Quantisers and losses stay float32."""
    seed: int = 0
    """Decides initial weights, batches, dropout and orders."""

    def __post_init__(self) -> None:
        positive = {"steps": self.steps, "batch": self.batch, "accumulate": self.accumulate, "lr": self.lr}
        for name, value in positive.items():
            if not value > 0 or not math.isfinite(value):
                raise UsageError(f"{name} must be positive, got {value}")
        if self.batch % self.accumulate:
            raise UsageError(f"batch={self.batch} must be a multiple of accumulate={self.accumulate}")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema must be in [0, 1), got {self.ema}")

    def rate(self, step: int) -> float:
        """The learning rate of `step` (0-based)."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.lr
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.lr * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done)))

    def decay(self, step: int) -> float:
        """The average's decay at `step`: low at first, so that the average forgets the initial weights."""
        return min(self.ema, (1 + step) / (10 + step))


@dataclass(frozen=True)
class Options:
    """Where a run lives and what it reports; none of this changes the weights."""

    out: Path
    """Folder of the run: the model, its log, sample grids, and the state to resume from."""
    resume: bool = False
    """Continue the run in `out`."""
    log_every: int = 10
    """Steps between entries of the log."""
    save_every: int = 500
    """Steps between saves (each replaces the last atomically)."""
    sample_every: int = 500
    """Steps between sample grids; 0: none."""
    eval_every: int = 500
    """Steps between losses on the held-out split; 0: none."""
    workers: int = 0
    """Processes that read data."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    shard: bool = False
    """With several processes: shard weights, gradients and optimiser state (FSDP2) instead of copying them (DDP)."""
    compile: bool = False
    """Compile the network (slow first step)."""
