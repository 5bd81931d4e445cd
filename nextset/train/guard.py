"""The NaN guard: a step whose loss or gradient is not finite is never applied, and the layer where it began is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NextsetError


def first_bad_layer(module: nn.Module, call: Callable[[], Any]) -> str:
    """Runs `call` again and names the first layer, in order of computation, whose output is not finite."""
    found: list[str] = []

    def watch(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            if not found and isinstance(output, Tensor) and not torch.isfinite(output).all():
                found.append(f"layer {name or type(layer).__name__!r}")

        return hook

    hooks = [layer.register_forward_hook(watch(name)) for name, layer in module.named_modules()]
    try:
        with torch.no_grad():
            call()
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else _bad_weight(module)


def _bad_weight(module: nn.Module) -> str:
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"weight {name!r}"
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f"gradient of {name!r}"
    return "the loss itself"


def check_finite(value: float, what: str, step: int, module: nn.Module, call: Callable[[], Any]) -> None:
    """Raises NextsetError naming step and layer if `value` is not finite."""
    if value == value and abs(value) != float("inf"):
        return
    where = first_bad_layer(module, call)
    raise NextsetError(
        f"{what} became {value} at step {step}, first in {where}; the step was not applied and the state before it is saved: "
        "resume with a lower lr, a smaller clip, or precision float32"
    )
