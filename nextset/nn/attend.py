"""Attention under a `Mask`: the one place that calls the fused kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..slots import Mask

LONG = 256  # queries from which the CPU's backward pass is no slower in bfloat16 than in float32; at 80 it takes 3.5 times as long


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask, dropout: float = 0.0, scale: float | None = None) -> Tensor:
    """softmax(scale q k^T) v, scale 1 / sqrt(d) unless given, for q (B, H, L, d) and k, v (B, G, T, d) with G dividing H (grouped queries)."""
    if _faster_in_float32(q):
        with torch.autocast("cpu", enabled=False):
            return _attend(q.float(), k.float(), v.float(), mask, dropout, scale).to(v.dtype)
    return _attend(q, k, v, mask, dropout, scale)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask, dropout: float, scale: float | None) -> Tensor:
    return F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask.dense,
        dropout_p=dropout,
        is_causal=mask.causal and q.shape[2] > 1,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )


def _faster_in_float32(q: Tensor) -> bool:
    """Whether a gradient may be asked of few queries in bfloat16 on a CPU."""
    if not torch.is_grad_enabled() or q.device.type != "cpu" or q.shape[2] >= LONG:
        return False
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return autocast or q.dtype == torch.bfloat16
