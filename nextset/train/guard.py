"""The NaN guard: a step whose gradient is not finite is never applied, and the layer where it began is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NextsetError


class Diverged(NextsetError):
    """A training whose gradient is no longer finite at `step`."""

    def __init__(self, step: int, message: str) -> None:
        super().__init__(message)
        self.step = step


def check_finite(norm: float, loss: float, step: int, module: nn.Module, again: Callable[[], Any]) -> None:
    """Raises Diverged naming step and layer if the gradient's `norm` is not finite; `again` repeats the forward pass.

    Only the norm decides, since all processes have the same one and so stop together.
    """
    if torch.tensor(norm).isfinite():
        return
    where = _first_bad_layer(module, again) or _bad_weight(module) or "the loss itself"
    raise Diverged(
        step,
        f"the gradient is not finite at step {step} (loss {loss:.4g}), first in {where}; the step was not applied and the "
        "state before it is saved: resume with a lower lr, a smaller clip, or precision float32",
    )


def _first_bad_layer(module: nn.Module, again: Callable[[], Any]) -> str:
    """The first layer, in order of computation, whose output is not finite."""
    found: list[str] = []

    def watch(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            if not found and isinstance(output, Tensor) and not torch.isfinite(output).all():
                found.append(f"layer {name or type(layer).__name__!r}")

        return hook

    hooks = [layer.register_forward_hook(watch(name)) for name, layer in module.named_modules()]
    try:
        with torch.no_grad():
            again()
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else ""


def _bad_weight(module: nn.Module) -> str:
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"weight {name!r}"
    for name, parameter in module.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f"the gradient of {name!r}"
    return ""
