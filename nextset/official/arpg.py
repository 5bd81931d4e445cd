"""The names of the official weights of ARPG (Li et al. 2025, arXiv 2503.10568)."""

from __future__ import annotations

from ..keymap import Cut, KeyMap

_TABLE = "embeddings.weight"  # tokens, the query, classes and "no class", and a token that only controlled variants use

KEYS = KeyMap(
    {
        "condition.embed.weight": f"{_TABLE}/classes",
        "wiring.embed.weight": f"{_TABLE}/tokens",
        "wiring.ask": f"{_TABLE}/query",
        "backbone.blocks.{}.mixer_norm.weight": "layers.self_dec.{}.attn_norm.weight",
        "backbone.blocks.{}.mixer.qkv.weight": tuple(f"layers.self_dec.{{}}.attn.to_{part}.weight" for part in "qkv"),
        "backbone.blocks.{}.mixer.out.weight": "layers.self_dec.{}.attn.proj.weight",
        "backbone.blocks.{}.feedforward_norm.weight": "layers.self_dec.{}.ffn_norm.weight",
        "backbone.blocks.{}.feedforward.rise.weight": (
            "layers.self_dec.{}.ffn.w1.weight",
            "layers.self_dec.{}.ffn.w3.weight",
        ),
        "backbone.blocks.{}.feedforward.fall.weight": "layers.self_dec.{}.ffn.w2.weight",
        "backbone.memory_norm.weight": "layers.norm.weight",
        "backbone.keys_values.weight": ("layers.to_k.weight", "layers.to_v.weight"),
        "backbone.readers.{}.query_norm.weight": "layers.cross_dec.{}.attn_norm.weight",
        "backbone.readers.{}.query.weight": "layers.cross_dec.{}.attn.to_q.weight",
        "backbone.readers.{}.out.weight": "layers.cross_dec.{}.attn.proj.weight",
        "backbone.readers.{}.feedforward_norm.weight": "layers.cross_dec.{}.ffn_norm.weight",
        "backbone.readers.{}.feedforward.rise.weight": (
            "layers.cross_dec.{}.ffn.w1.weight",
            "layers.cross_dec.{}.ffn.w3.weight",
        ),
        "backbone.readers.{}.feedforward.fall.weight": "layers.cross_dec.{}.ffn.w2.weight",
        "backbone.norm.weight": "norm.weight",
        "head.project.weight": "head.weight",
    },
    moves=(
        Cut(
            _TABLE, ((f"{_TABLE}/tokens", "head.weight"), (f"{_TABLE}/query", 1), (f"{_TABLE}/classes", None), ("", 1))
        ),
    ),
)
