"""Where numbers need at least float32."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` widened to float32 where it is narrower (float64 stays, so that laws can be checked in it)."""
    return x if x.dtype.itemsize >= 4 else x.to(torch.float32)


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """No autocast inside the block (the meta device knows none)."""
    return contextlib.nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
