"""The names of the official weights of MaskGIT (Chang et al. 2022, arXiv 2202.04200)."""

from __future__ import annotations

from ..keymap import Cut, KeyMap, Made, Squeezed

IDS = ("wiring.embed.weight", "wiring.mask", "condition.embed.weight")  # one table of theirs

_LAYER = "model.encoder.layer.{}"

KEYS = KeyMap(
    {
        "backbone.positions": "model.embeddings.position_embeddings.weight",
        "backbone.kinds": "model.embeddings.token_type_embeddings.weight",
        "backbone.norm.*": "model.embeddings.LayerNorm.*",
        "backbone.blocks.{}.mixer.qkv.*": tuple(f"{_LAYER}.attention.self.{p}.*" for p in ("query", "key", "value")),
        "backbone.blocks.{}.mixer.out.*": f"{_LAYER}.attention.output.dense.*",
        "backbone.blocks.{}.mixer_norm.*": f"{_LAYER}.attention.output.LayerNorm.*",
        "backbone.blocks.{}.feedforward.rise.*": f"{_LAYER}.intermediate.dense.*",
        "backbone.blocks.{}.feedforward.fall.*": f"{_LAYER}.output.dense.*",
        "backbone.blocks.{}.feedforward_norm.*": f"{_LAYER}.output.LayerNorm.*",
        "head.project.*": "model.lm_head.*",
    },
    (
        Cut("model.embeddings.word_embeddings.weight", tuple(zip(IDS, ("model.lm_head.weight", 0, None), strict=True))),
        Made("model.embeddings.position_ids"),
    ),
)

_PARTS = {"mixer_norm": "norm1", "mixer.qkv": "attn.qkv", "mixer.out": "attn.proj", "join": "skip_linear"}

_PARTS |= {"feedforward_norm": "norm2", "feedforward.rise": "mlp.fc1", "feedforward.fall": "mlp.fc2"}

_HALVES = {"rising.{}": "in_blocks.{}", "middle": "mid_block", "falling.{}": "out_blocks.{}"}

KEYS_UVIT = KeyMap(
    {f"backbone.{h}.{p}.*": f"{_HALVES[h]}.{_PARTS[p]}.*" for h in _HALVES for p in _PARTS}
    | {"backbone.norm.*": "norm.*", "head.project.*": "lm_head.*", "backbone.positions": Squeezed("pos_embed")},
    (Cut("embeddings.weight", tuple(zip(IDS, ("lm_head.weight", 0, None), strict=True))),),
)
