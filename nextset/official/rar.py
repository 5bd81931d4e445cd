"""The names of the official weights of RAR (Yu et al. 2024, arXiv 2411.00776)."""

from __future__ import annotations

from ..keymap import Cut, KeyMap, Permuted

BLOCK = {
    "mixer_norm": "norm1",
    "mixer.qkv": "attn.qkv",
    "mixer.q_norm": "attn.q_norm",
    "mixer.k_norm": "attn.k_norm",
    "mixer.out": "attn.proj",
    "feedforward_norm": "norm2",
    "feedforward.rise": "mlp.fc1",
    "feedforward.fall": "mlp.fc2",
}

FINAL = "adaln_before_head.adaLN_modulation.1"  # scale before shift

KEYS = KeyMap(
    {
        "wiring.inner.start": "cls_token",
        **{
            f"backbone.blocks.{{}}.{ours}.{kind}": f"blocks.{{}}.{theirs}.{kind}"
            for ours, theirs in BLOCK.items()
            for kind in ("weight", "bias")
        },
        "backbone.modulation.maps.{}.weight": "blocks.{}.adaLN_modulation.1.weight",
        "backbone.modulation.maps.{}.bias": "blocks.{}.adaLN_modulation.1.bias",
        "backbone.norm.map.weight": Permuted(f"{FINAL}.weight", (1, 0)),
        "backbone.norm.map.bias": Permuted(f"{FINAL}.bias", (1, 0)),
        "head.project.weight": "lm_head.weight",
        "head.project.bias": "lm_head.bias",
    },
    (
        Cut(
            "embeddings.weight",
            (("wiring.inner.embed.weight", "lm_head.weight"), ("", 1), ("condition.embed.weight", None)),
        ),
        Cut("pos_embed", (("wiring.inner.positions", None), ("", 1022)), axis=-2),
        Cut("target_aware_pos_embed", (("", 2), ("wiring.inner.targets", None), ("", 1022)), axis=-2),
        Cut("timesteps_embeddings", (("wiring.steps", None), ("", 99)), axis=-2),
    ),
)
