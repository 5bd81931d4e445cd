"""What ours may be, and how much its weights weigh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from nextset import Model
from nextset.nn.packed import BFloat16Linear, Float16Linear, Int8Linear, PackedLinear

VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "float16": {"dtype": "float16"},
    "int8": {"quantize": "int8"},
}


def variants(model: Model, names: Sequence[str] = tuple(VARIANTS)) -> dict[str, Model]:
    """The model for inference in these ways, by name."""
    return {name: model.for_inference(**VARIANTS[name]) for name in names}


def weight_bytes(*modules: nn.Module) -> int:
    """What reading every weight of these modules once reads."""
    total = 0
    for module in (inner for outer in modules for inner in outer.modules()):
        if isinstance(module, PackedLinear):
            narrow = {Float16Linear: 2, BFloat16Linear: 2, Int8Linear: 1}.get(type(module), 4)
            total += module.weight.numel() * narrow
        else:
            total += sum(p.nbytes for p in module.parameters(recurse=False))
    return total
