"""The names of the official weights of MAR (Li et al. 2024, arXiv 2406.11838)."""

from __future__ import annotations

from ..keymap import Joined, KeyMap, Squeezed

_BLOCK = {
    "mixer_norm": "norm1",
    "mixer.qkv": "attn.qkv",
    "mixer.out": "attn.proj",
    "feedforward_norm": "norm2",
    "feedforward.rise": "mlp.fc1",
    "feedforward.fall": "mlp.fc2",
}

_LAYERS = {
    "wiring.embed": "z_proj",
    "backbone.input_norm": "z_proj_ln",
    "backbone.encoder_norm": "encoder_norm",
    "backbone.between": "decoder_embed",
    "backbone.decoder_norm": "decoder_norm",
    **{
        f"backbone.{side}.{{}}.{our}": f"{side}_blocks.{{}}.{their}"
        for side in ("encoder", "decoder")
        for our, their in _BLOCK.items()
    },
    "head.net.time.{}": "diffloss.net.time_embed.mlp.{}",
    "head.net.condition": "diffloss.net.cond_embed",
    "head.net.rise": "diffloss.net.input_proj",
    "head.net.blocks.{}.norm": "diffloss.net.res_blocks.{}.in_ln",
    "head.net.blocks.{}.rise": "diffloss.net.res_blocks.{}.mlp.0",
    "head.net.blocks.{}.fall": "diffloss.net.res_blocks.{}.mlp.2",
    "head.net.modulation.maps.{}": "diffloss.net.res_blocks.{}.adaLN_modulation.1",
    "head.net.end.map": "diffloss.net.final_layer.adaLN_modulation.1",
    "head.net.out": "diffloss.net.final_layer.linear",
}

_POSITIONS = {"encoder": "encoder", "decoder": "decoder", "site": "diffusion"}

KEYS = KeyMap(
    {
        "condition.embed.weight": Joined(("class_emb.weight", "fake_latent"), rows=(0, 1)),
        "wiring.mask": Squeezed("mask_token", (0, 1)),
        **{
            f"backbone.{ours}_positions": Squeezed(f"{theirs}_pos_embed_learned") for ours, theirs in _POSITIONS.items()
        },
        **{f"{our}.{kind}": f"{their}.{kind}" for our, their in _LAYERS.items() for kind in ("weight", "bias")},
    },
)
