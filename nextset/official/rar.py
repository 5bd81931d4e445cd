"""The official weights of RAR (Yu et al. 2024, arXiv 2411.00776).

The official tables have more rows than are used, and one table for codes and classes: `KEYS` takes them apart, and puts zeros where
nothing was used.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Transformer
from ..conditions import Label
from ..decode import Constant, Pick, PowerCosine
from ..family import Arguments, Family, Published, pixels
from ..keymap import Cut, KeyMap, Permuted
from ..layout import Discrete
from ..nn.feedforward import MLP
from ..system import System
from ..systems.rar import rar
from ..tokenizers.base import Tokenizer
from . import maskgit_vq

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

SPARE = 100  # rows of the table of steps beyond the sites; all but one are never used

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
        Cut("timesteps_embeddings", (("wiring.steps", None), ("", SPARE - 1)), axis=-2),
    ),
)


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """All sizes are in the shapes. Drawn as the smallest published size is, where the config does not say how."""
    vocab, dim = (args.size("lm_head.weight", axis) for axis in (0, 1))
    coder = args.fitting(tokenizer, Discrete(args.seen("codebook_size", vocab)))
    sites = args.seen("image_seq_len", args.size("timesteps_embeddings", 1) - SPARE)
    system = rar(
        args.seen("num_hidden_layers", args.count("blocks.{}.attn.qkv.weight")),
        args.seen("num_attention_heads", dim // args.size("blocks.0.attn.q_norm.weight")),
        args.seen("hidden_size", dim),
        image=pixels(coder, args.square("image_seq_len", sites)),
        tokenizer=coder,
    )
    hidden, dropout = args.size("blocks.0.mlp.fc1.weight"), args.asked("dropout", 0.1)
    feedforward = MLP(0 if args.seen("intermediate_size", hidden) == 4 * dim else hidden, inner=dropout)
    args.must("attn_drop", dropout)
    assert isinstance(system.backbone, Transformer)
    classes = args.seen("condition_num_classes", args.size("embeddings.weight") - vocab - 2)  # a mask, and "no class"
    scale = args.asked("guidance_scale", 16.0)
    return replace(
        system,
        backbone=replace(system.backbone, feedforward=feedforward, dropout=dropout),
        condition=Label(classes, args.asked("class_label_dropout", 0.1), vector=True),
        guidance=PowerCosine(scale, args.asked("guidance_scale_pow", 2.75)) if scale else Constant(),  # 0: unguided
        pick=Pick(args.asked("randomize_temperature", 1.0)),
    )


PUBLISHED = {size: Published(f"yucornetto/RAR:rar_{size}.bin", maskgit_vq.FILE) for size in ("b", "l", "xl", "xxl")}
FAMILY = Family(read, lambda system: KEYS, maskgit_vq.CODER, PUBLISHED, licence="Apache-2.0")
