"""The names of the official weights of LlamaGen (Sun et al. 2024, arXiv 2406.06525)."""

from __future__ import annotations

from ..keymap import KeyMap

KEYS = KeyMap(
    {
        "condition.embed.weight": "cls_embedding.embedding_table.weight",
        "condition.fc{}.weight": "cls_embedding.cap_proj.fc{}.weight",
        "condition.empty": "cls_embedding.uncond_embedding",
        "wiring.embed.weight": "tok_embeddings.weight",
        "backbone.blocks.{}.mixer_norm.weight": "layers.{}.attention_norm.weight",
        "backbone.blocks.{}.mixer.qkv.weight": "layers.{}.attention.wqkv.weight",
        "backbone.blocks.{}.mixer.out.weight": "layers.{}.attention.wo.weight",
        "backbone.blocks.{}.feedforward_norm.weight": "layers.{}.ffn_norm.weight",
        "backbone.blocks.{}.feedforward.rise.weight": (
            "layers.{}.feed_forward.w1.weight",
            "layers.{}.feed_forward.w3.weight",
        ),
        "backbone.blocks.{}.feedforward.fall.weight": "layers.{}.feed_forward.w2.weight",
        "backbone.norm.weight": "norm.weight",
        "head.project.weight": "output.weight",
    }
)
