"""The devices of a run: one without a launcher, or those that `accelerate launch` and `torchrun` set up (DDP, FSDP2)."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from ..errors import need
from .recipe import Options, Recipe


def half(recipe: Recipe) -> bool:
    """Whether matrix products are in bfloat16: as asked, or on CUDA devices that have it."""
    if recipe.precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return recipe.precision == "bfloat16"


def accelerator(recipe: Recipe, options: Options) -> Any:
    """Accelerate's handle of the processes: copies (DDP), or shards (FSDP2) where `options.shard`."""
    accelerate = need("accelerate", "train")
    cpu = not torch.accelerator.is_available()  # unsaid, several processes on CPUs would not find each other
    if not options.shard:
        return accelerate.Accelerator(cpu=cpu)
    plugin = accelerate.FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=["Block"]
    )
    # shards are gathered in the precision of the products; our own autocast below would gather them in float32
    return accelerate.Accelerator(cpu=cpu, mixed_precision="bf16" if half(recipe) else "no", fsdp_plugin=plugin)


def autocast(recipe: Recipe, options: Options, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Matrix products in bfloat16 where the recipe says so; quantisers and losses widen again by themselves."""
    if options.shard or not half(recipe):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
