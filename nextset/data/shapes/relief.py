"""The surface of shapes: plates of even thickness, whose edge is a quarter of a circle that is BEVEL of the shape's size wide.

So a circle looks like a pill and a ring like a bead. Pictures are not shaded by it.
"""

from __future__ import annotations

import numpy as np

from .outline import distance
from .scene import KINDS

BEVEL = 0.35
FACING = np.array([0, 0, 1], dtype=np.float32)
_STEP = 1e-2  # of the differences that give the way to the edge


def slopes(kinds: np.ndarray, x: np.ndarray, y: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Normals float32 (n, 3) at places (x, y) in the frames of shapes (upright, size 1), turned by `angles`; all (n,).

    The part of a normal in the picture's plane points to the nearest edge, and is (1 - t) long, t being the distance to the edge in
    bevels, at most 1.
    """
    depth, across, down = (np.zeros(x.shape, dtype=np.float32) for _ in range(3))
    for number, kind in enumerate(KINDS):
        here = np.flatnonzero(kinds == number)
        if len(here):
            u, v = x[here], y[here]
            depth[here] = -distance(kind, u, v)
            across[here] = distance(kind, u + _STEP, v) - distance(kind, u - _STEP, v)
            down[here] = distance(kind, u, v + _STEP) - distance(kind, u, v - _STEP)
    tilt = (1 - depth / BEVEL).clip(0, 1)
    scale = tilt / np.maximum(np.hypot(across, down), 1e-6)
    cos, sin = np.cos(angles), np.sin(angles)
    flat = np.stack([across * cos - down * sin, across * sin + down * cos], axis=-1) * scale[:, None]
    up = np.sqrt((1 - (flat**2).sum(-1, keepdims=True)).clip(0, 1))
    return np.concatenate([flat, up], axis=-1).astype(np.float32)
