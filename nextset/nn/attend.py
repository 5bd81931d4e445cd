"""Attention under a `Mask`: the one place that calls the fused kernel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..slots import Mask


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask, dropout: float = 0.0, scale: float | None = None) -> Tensor:
    """softmax(scale q k^T) v, scale 1 / sqrt(d) unless given, for q (B, H, L, d) and k, v (B, G, T, d) with G dividing H (grouped queries)."""
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
