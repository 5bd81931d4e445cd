"""Modules without contents: on the meta device, where only shapes are made, and initial weights are not even pretended to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

FILLING = {
    *(function for name, function in vars(nn.init).items() if name.endswith("_") and callable(function)),
    *(getattr(Tensor, name) for name in ("normal_", "uniform_", "zero_", "fill_", "mul_", "div_", "copy_")),
}


class _Unfilled(TorchFunctionMode):
    """What would fill a tensor gives it back as it is."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in FILLING and isinstance(args[0] if args else (kwargs or {}).get("tensor"), Tensor):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def blueprints() -> Iterator[None]:
    """Modules that are built meanwhile have shapes, no contents; weights are given to them by `load_state_dict(assign=True)`."""
    with torch.device("meta"), _Unfilled():
        yield
