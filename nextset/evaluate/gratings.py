"""Fine detail: gratings of known period, and how much of each survives.

    picture(y, x) = 0.75 sin(2 pi (x cos a + y sin a) / period + phase)

The error is |1 - b / a|, a and b being the complex amplitudes of original and copy at the grating's frequency: 0 for a perfect copy,
1 for grey, and more than 0 for too much contrast or a wrong phase as well.
Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..data.crop import to_float
from ..errors import UsageError
from .samples import to_uint8

NAME = "gratings-v1"
PERIODS, ANGLES, AMPLITUDE = (16, 8, 4, 3), 8, 0.75
SMALLEST = 2 * max(PERIODS)  # two whole periods


class Gratings:
    """Gratings of `size` (height, width), every period at eight angles, as 8-bit pictures. UsageError for less than 32 pixels a side."""

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        if min(size) < SMALLEST:
            raise UsageError(
                f"detail needs pictures of at least {SMALLEST} pixels a side, got {size[0]}x{size[1]}; leave it out"
            )
        angles = torch.arange(ANGLES, dtype=torch.float64) * (math.pi / ANGLES)
        y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in size), indexing="ij")
        along = x * angles.cos().view(-1, 1, 1) + y * angles.sin().view(-1, 1, 1)  # (angles, H, W)
        periods = torch.tensor(PERIODS, dtype=torch.float64).view(-1, 1, 1, 1)
        self._phase = (2 * math.pi * along / periods).flatten(0, 1)  # (B, H, W)
        waves = (AMPLITUDE * (self._phase + self._phase.new_tensor(1.0)).sin())[:, None].expand(-1, channels, -1, -1)
        self.pictures: Tensor = to_float(np.asarray(to_uint8(waves)))

    def errors(self, others: Tensor) -> dict[int, float]:
        """Mean error by period in pixels, of pictures (B, C, H, W) in place of `pictures`."""
        if others.shape != self.pictures.shape:
            raise UsageError(f"others must be {tuple(self.pictures.shape)}, got {tuple(others.shape)}")
        left = (1 - self._waves(others) / self._waves(self.pictures)).abs()
        return dict(zip(PERIODS, left.view(len(PERIODS), ANGLES).mean(1).tolist(), strict=True))

    def _waves(self, images: Tensor) -> Tensor:
        """(B,) complex: amplitude and phase at each grating's own frequency."""
        flat = to_uint8(images).cpu().double().mean(-1).flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        phase = self._phase.flatten(1)
        return torch.complex((flat * phase.cos()).sum(1), -(flat * phase.sin()).sum(1))
