"""The names of the official weights of AiM (Li et al. 2024, arXiv 2408.12245)."""

from __future__ import annotations

from ..keymap import KeyMap, Stacked, Twice, Unused

_TOKENS, _PLACES = (f"mamba.backbone.embeddings.{name}_embeddings.weight" for name in ("word", "position"))

_LAYER, _END = "mamba.backbone.layers.{}", "mamba.backbone.final_layer"

_SCALES = "adaLN_modulation.1"

KEYS = KeyMap(
    {
        "condition.embed.weight": "mamba.backbone.cls_embed.embedding_table.weight",
        "wiring.embed.weight": _TOKENS,
        "backbone.positions": _PLACES,
        "backbone.modulation.maps.{}.weight": f"{_LAYER}.{_SCALES}.weight",
        "backbone.modulation.maps.{}.bias": f"{_LAYER}.{_SCALES}.bias",
        "backbone.modulation.map.weight": "mamba.backbone.adaln_group.1.weight",
        "backbone.modulation.map.bias": "mamba.backbone.adaln_group.1.bias",
        "backbone.modulation.tables": Stacked(f"{_LAYER}.scale_shift_table", (1, 3, -1)),
        "backbone.blocks.{}.mixer_norm.weight": f"{_LAYER}.norm.weight",
        "backbone.blocks.{}.mixer.rise.weight": f"{_LAYER}.mixer.in_proj.weight",
        "backbone.blocks.{}.mixer.conv.weight": f"{_LAYER}.mixer.conv1d.weight",
        "backbone.blocks.{}.mixer.conv.bias": f"{_LAYER}.mixer.conv1d.bias",
        "backbone.blocks.{}.mixer.step_bias": f"{_LAYER}.mixer.dt_bias",
        "backbone.blocks.{}.mixer.log_decay": f"{_LAYER}.mixer.A_log",
        "backbone.blocks.{}.mixer.skip": f"{_LAYER}.mixer.D",
        "backbone.blocks.{}.mixer.norm.weight": f"{_LAYER}.mixer.norm.weight",
        "backbone.blocks.{}.mixer.out.weight": f"{_LAYER}.mixer.out_proj.weight",
        "backbone.norm.norm.0.weight": "mamba.backbone.norm_f.weight",
        "backbone.norm.norm.1.weight": f"{_END}.norm_final.weight",
        "backbone.norm.map.weight": f"{_END}.{_SCALES}.weight",
        "backbone.norm.map.bias": f"{_END}.{_SCALES}.bias",
    },
    moves=(
        Twice(_TOKENS, "mamba.lm_head.weight"),
        Unused(_PLACES),  # no token has the last place; here it is that of the class, which has none there
    ),
)
