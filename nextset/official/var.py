"""The names of the official weights of VAR (Tian et al. 2024, arXiv 2404.02905)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..keymap import KeyMap, Made, Permuted, Rule, Squeezed, Stacked

CHUNKS = (4, 2, 0, 5, 3, 1)  # theirs: gates, scales, shifts of both branches; ours: shift, scale, gate of each


def affine(ours: str, theirs: str, order: tuple[int, ...] = ()) -> dict[str, str | tuple[str, ...] | Rule]:
    """The rules of a matrix and its bias, whose parts come in `order`."""
    names = {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}
    return {mine: Permuted(name, order) if order else name for mine, name in names.items()}


SHARED = {  # what FlexVAR's files have, too
    "condition.embed.weight": "class_emb.weight",
    "wiring.start": Squeezed("pos_start", (0,)),
    **affine("wiring.embed", "word_embed"),
    "backbone.blocks.{}.mixer.scale": Squeezed("blocks.{}.attn.scale_mul_1H11", (0, 2, 3)),
    **{f"backbone.blocks.{{}}.mixer.{part}_bias": f"blocks.{{}}.attn.{part}_bias" for part in "qv"},
    "backbone.blocks.{}.mixer.qkv.weight": "blocks.{}.attn.mat_qkv.weight",
    **affine("backbone.blocks.{}.mixer.out", "blocks.{}.attn.proj"),
    **affine("backbone.blocks.{}.feedforward.rise", "blocks.{}.ffn.fc1"),
    **affine("backbone.blocks.{}.feedforward.fall", "blocks.{}.ffn.fc2"),
    **affine("backbone.modulation.maps.{}", "blocks.{}.ada_lin.1", CHUNKS),
    **affine("backbone.norm.map", "head_nm.ada_lin.1", (1, 0)),
    **affine("head.project", "head"),
}

NO_KEY_BIAS = Made("blocks.{}.attn.zero_k_bias", "blocks.{}.attn.q_bias")


def mask(level: Tensor) -> Tensor:
    """Their additive mask (1, 1, L, L) of the scale of every site (1, L)."""
    seen = level[:, None, :, None] >= level[:, None, None, :]
    return torch.zeros_like(seen, dtype=torch.float32).masked_fill(~seen, -torch.inf)


KEYS = KeyMap(
    {
        **SHARED,
        "wiring.places.sites": Squeezed("pos_1LC", (0,)),
        "wiring.places.levels.weight": "lvl_embed.weight",
        "wiring.places.block": Squeezed("lvl_1L", (0,)),
        **affine("backbone.modulation.map", "shared_ada_lin.1", CHUNKS),
        "backbone.modulation.tables": Stacked("blocks.{}.ada_gss", (1, 1, 6, -1), CHUNKS),
    },
    (NO_KEY_BIAS, Made("attn_bias_for_masking", "lvl_1L", mask)),
)
