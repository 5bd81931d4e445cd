"""The official weights of AiM (Li et al. 2024, arXiv 2408.12245): one file holds the generator and its tokenizer."""

from __future__ import annotations

import math

from ..family import Arguments, Coder, Family, Published, pixels
from ..keymap import KeyMap, Stacked, Twice, Unused
from ..layout import Discrete
from ..mixers import Mamba2
from ..nn.modulation import Each, Grouped, Modulation
from ..system import System
from ..systems.aim import aim
from ..tokenizers.base import Tokenizer
from ..tokenizers.vq import VQ
from . import vq

_TOKENS, _PLACES = (f"backbone.embeddings.{name}_embeddings.weight" for name in ("word", "position"))

_CLASSES, _GROUPS = "backbone.cls_embed.embedding_table.weight", "backbone.adaln_group.1.weight"

_LAYER, _END = "backbone.layers.{}", "backbone.final_layer"

_SCALES = "adaLN_modulation.1"

KEYS = KeyMap(
    {
        "condition.embed.weight": _CLASSES,
        "wiring.embed.weight": _TOKENS,
        "backbone.positions": _PLACES,
        "backbone.modulation.maps.{}.weight": f"{_LAYER}.{_SCALES}.weight",
        "backbone.modulation.maps.{}.bias": f"{_LAYER}.{_SCALES}.bias",
        "backbone.modulation.map.weight": _GROUPS,
        "backbone.modulation.map.bias": "backbone.adaln_group.1.bias",
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
        "backbone.norm.norm.0.weight": "backbone.norm_f.weight",
        "backbone.norm.norm.1.weight": f"{_END}.norm_final.weight",
        "backbone.norm.map.weight": f"{_END}.{_SCALES}.weight",
        "backbone.norm.map.bias": f"{_END}.{_SCALES}.bias",
    },
    moves=(
        Twice(_TOKENS, "lm_head.weight"),
        Unused(_PLACES),  # no token has the last place; here it is that of the class, which has none there
    ),
)


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """Everything is in the shapes."""
    vocab, dim = (args.size(_TOKENS, axis) for axis in (0, 1))
    coder = args.fitting(tokenizer, Discrete(args.seen("vocab_size", vocab)))
    for name, only in {"d_intermediate": 0, "rms_norm": True, "tie_embeddings": True, "token_drop": 0.0}.items():
        args.must(name, only)
    args.must("attn_layer_idx", [], ())
    side = args.square("num_tokens", args.seen("num_tokens", args.size(_PLACES) - 1))
    return aim(
        args.seen("d_model", dim),
        args.seen("n_layer", args.count(f"{_LAYER}.norm.weight")),
        modulation(args, dim),
        mamba(args, dim),
        pixels(coder, side),
        coder,
        args.seen("num_classes", args.size(_CLASSES) - 1),
    )


def modulation(args: Arguments, dim: int) -> Modulation:
    """A map a layer, or a few in turn."""
    if not args.seen("adaln_group", _GROUPS in args):
        return Each()
    return Grouped(args.seen("num_groups", args.size(_GROUPS) // (3 * dim)))


def mamba(args: Arguments, dim: int) -> Mamba2:
    """The mixer of the first layer, which is that of all."""
    for name, only in {"layer": "Mamba2", "ngroups": 1, "norm_before_gate": False}.items():
        args.must(name, only)
    args.must("dt_limit", (0.0, math.inf), [0.0, math.inf])
    first = f"{_LAYER.format(0)}.mixer"
    inner, heads = args.size(f"{first}.out_proj.weight", 1), args.size(f"{first}.A_log")
    mixed, taps = (args.size(f"{first}.conv1d.weight", axis) for axis in (0, 2))
    return Mamba2(
        state_dim=args.seen("d_state", (mixed - inner) // 2),
        head_dim=args.seen("headdim", inner // heads),
        expand=args.seen("expand", inner // dim),
        conv=args.seen("d_conv", taps),
    )


def coding(args: Arguments) -> VQ:
    """LlamaGen's tokenizer, under other names of its arguments."""
    spec = vq.read(args)
    for name, value in {"n_embed": spec.vocab, "embed_dim": spec.dim, "ch_mult": spec.multipliers}.items():
        args.seen(name, value)
    return spec


PUBLISHED = {
    size: Published(f"hp-l33/aim-{word}:model.safetensors")
    for size, word in (("b", "base"), ("l", "large"), ("xl", "xlarge"))
}
FAMILY = Family(
    read,
    lambda system: KEYS,
    Coder(coding, vq.CODER.keys),
    PUBLISHED,
    inside={"network": "mamba.", "tokenizer": "vqvae."},
    licence="MIT",
)
