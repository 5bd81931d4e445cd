"""Where numbers need at least float32."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` widened to float32 where it is narrower (float64 stays, so that laws can be checked in it)."""
    return x if x.dtype.itemsize >= 4 else x.to(torch.float32)
