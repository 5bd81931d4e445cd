"""The names of the official weights of xAR (Ren et al. 2025, arXiv 2502.20388)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..keymap import KeyMap, Made, Permuted, Rearranged, Rule
from ..layout import grid
from ..noise import Noise
from ..orders import Cells


def _to_sites(table: Tensor) -> Tensor:
    """Positions (1, N, D) by cell, four in a square, to ours (N + 1, D) by site, the last for slots without one."""
    by_site = table[0, _by_cell(table.shape[1]).argsort()]
    return torch.cat([by_site, torch.zeros_like(by_site[:1])])


def _to_cells(table: Tensor) -> Tensor:
    return table[None, _by_cell(len(table) - 1)]


def _by_cell(sites: int) -> Tensor:
    return Cells(*[math.isqrt(sites // 4)] * 2).plan(grid(*[math.isqrt(sites)] * 2), Noise(0, range(1))).perm


def _stack(ours: str, theirs: str) -> dict[str, str | tuple[str, ...] | Rule]:
    """The names of one of the two transformers. Official maps of a vector give both gates, both scales, both shifts."""
    mine, block = f"{ours}.blocks.{{}}", f"{theirs}_blocks.{{}}"
    return {
        f"{ours}.positions": Rearranged(f"{theirs}_pos_embed_learned", _to_sites, _to_cells),
        f"{ours}.norm.*": f"{theirs}_norm.*",
        f"{mine}.mixer.qkv.*": f"{block}.attn.qkv.*",
        f"{mine}.mixer.out.*": f"{block}.attn.proj.*",
        f"{mine}.feedforward.rise.*": (f"{block}.mlp.fc1_g.*", f"{block}.mlp.fc1_x.*"),
        f"{mine}.feedforward.fall.*": f"{block}.mlp.fc2.*",
        f"{ours}.modulation.maps.{{}}.*": Permuted(f"{block}.ada_lin.1.*", (4, 2, 0, 5, 3, 1)),
    }


KEYS = KeyMap(
    {
        "condition.embed.weight": "class_emb.weight",
        "wiring.level.rise.*": "time_embed.mlp.0.*",
        "wiring.level.fall.*": "time_embed.mlp.2.*",
        "wiring.embed.*": "z_proj.*",
        "backbone.first.start.weight": "z_proj_ln.weight",
        **_stack("backbone.first", "encoder"),
        "backbone.map.*": "decoder_embed.*",
        **_stack("backbone.second", "decoder"),
        "head.project.*": "pred.*",
    },
    moves=(Made("mask"), Made("encoder_blocks.{}.attn.rope.*"), Made("decoder_blocks.{}.attn.rope.*")),
)
