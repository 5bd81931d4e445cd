"""The dry run: what a training run will take, before it takes it.

Memory is counted, not guessed: weights, gradients, moments and average by parameters, activations by running the real loss of
one batch on the meta device and adding up what autograd keeps. Speed is then measured over a few real steps.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones.base import BackboneModule
from ..data.batch import Batch
from ..sampling import Share
from .devices import half
from .phase import Phase, checkpoint_activations
from .recipe import Options
from .run import Setup

FLOAT = 4  # bytes of a weight in training


@dataclass(frozen=True)
class Estimate:
    """What a run takes on each process: memory in bytes, time in seconds; None where it was not measured."""

    parameters: int
    weights: int
    gradients: int
    moments: int
    average: int
    activations: int
    available: int
    images_per_second: float | None = None
    tokens_per_second: float | None = None
    seconds: float | None = None

    @property
    def memory(self) -> int:
        """Everything together."""
        return self.weights + self.gradients + self.moments + self.average + self.activations

    @property
    def fits(self) -> bool:
        """Whether it is less than what the device has free."""
        return self.memory < self.available

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return dataclasses.asdict(self) | {"memory": self.memory, "fits": self.fits}

    def __str__(self) -> str:
        """The estimate in words."""
        parts = ("weights", "gradients", "moments", "average", "activations")
        lines = [
            f"parameters   {self.parameters:,}",
            f"memory       {_size(self.memory)} of {_size(self.available)} free: "
            + ", ".join(f"{name} {_size(getattr(self, name))}" for name in parts),
        ]
        if not self.fits:
            return "\n".join(
                [*lines, "does not fit: try --checkpointing, a larger accumulate, --shard, a smaller batch"]
            )
        if self.seconds is not None:
            lines.append(f"speed        {self.tokens_per_second:,.0f} tokens/s, {self.images_per_second:,.1f} images/s")
            lines.append(f"time         {_duration(self.seconds)}")
        return "\n".join(lines)


def estimate(build: Callable[[], Setup], options: Options, steps: int = 3) -> Estimate:
    """Counts memory and, where it fits, measures `steps` real steps; `build` makes the setup. Nothing is written."""
    with torch.device("meta"):
        empty = build()
    counted = _counted(empty, options)
    if not counted.fits:
        return counted
    setup = build()
    seconds = setup.trainer(options).rehearse(steps)
    images = setup.recipe.batch / seconds
    return dataclasses.replace(
        counted, images_per_second=images, tokens_per_second=images * setup.tokens, seconds=seconds * setup.recipe.steps
    )


def _counted(setup: Setup, options: Options) -> Estimate:
    phases, recipe = setup.trainee.phases, setup.recipe
    part = setup.train.at(0).split(recipe.accumulate)[0]
    kept = [_activations(phase, part, options.checkpointing) for phase in phases]
    total = sum(p.numel() for phase in phases for p in phase.module.parameters() if p.requires_grad)
    share = total * FLOAT // (Share.from_environment().world if options.shard else 1)
    return Estimate(
        parameters=total,
        weights=share,
        gradients=share,
        moments=2 * share,
        average=share if recipe.ema else 0,
        activations=max(kept) // (2 if half(recipe) else 1),
        available=_available(),
    )


def _activations(phase: Phase, batch: Batch, checkpointing: bool) -> int:
    """Bytes that the backward pass needs: everything kept, or with checkpointing the blocks' inputs and one block's share."""
    checkpoint_activations(phase.module, False)
    everything = kept_for_backward(phase, batch)
    blocks = [block for m in phase.module.modules() if isinstance(m, BackboneModule) for block in _blocks(m)]
    if not (checkpointing and blocks):
        return everything
    checkpoint_activations(phase.module, True)
    outside = kept_for_backward(phase, batch, blocks)
    return outside + (everything - outside) // len(blocks)


def _blocks(backbone: nn.Module) -> list[nn.Module]:
    return [block for m in backbone.children() if isinstance(m, nn.ModuleList) for block in m]


def kept_for_backward(phase: Phase, batch: Batch, inputs_of: list[nn.Module] | None = None) -> int:
    """Bytes kept by the forward pass of a phase on the meta device, weights apart; first inputs of some modules are added."""
    kept: dict[int, Tensor] = {}  # by storage; holding the tensor keeps its address from being used again

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    phase.module.train()
    hooks = [m.register_forward_pre_hook(lambda _, args: (note(args[0]), None)[1]) for m in inputs_of or []]
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        phase.module(*phase.inputs(_on_meta(batch), 0, 0))
    for hook in hooks:
        hook.remove()
    own = {p.untyped_storage()._cdata for p in phase.module.parameters()}
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in own)


def _on_meta(batch: Batch) -> Batch:
    """Pictures and tokens without their values; labels stay, since they are looked at."""
    tokens = None if batch.tokens is None else batch.tokens.to("meta")
    return dataclasses.replace(batch, images=batch.images.to("meta"), tokens=tokens)


def _available() -> int:
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def _size(count: int) -> str:
    for unit, bytes_ in (("GB", 1 << 30), ("MB", 1 << 20)):
        if count >= bytes_:
            return f"{count / bytes_:.3g} {unit}"
    return f"{count / 1024:.3g} kB"


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
