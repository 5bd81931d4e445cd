"""The names of the official weights of FlexVAR (Jiao et al. 2025, arXiv 2502.20313)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..keymap import KeyMap, Made, Squeezed, Within
from . import vq
from .var import NO_KEY_BIAS, SHARED, mask

SIDES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)


def usual_mask(anything: Tensor) -> Tensor:
    """The mask of the usual sides, which their files hold and nobody reads."""
    level = [[k for k, side in enumerate(SIDES) for _ in range(side * side)]]
    return mask(torch.tensor(level, device=anything.device))


KEYS = KeyMap(
    {**SHARED, "wiring.places.map": Squeezed("pos_1LC", (0,))},
    (NO_KEY_BIAS, Made("attn_bias_for_masking", "word_embed.bias", usual_mask)),
)

VAE_KEYS = Within(vq.KEYS, "vq.")
