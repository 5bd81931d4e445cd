"""The official weights of ARPG (Li et al. 2025, arXiv 2503.10568)."""

from __future__ import annotations

from dataclasses import replace

from ..backbones import TwoPass
from ..conditions import Label
from ..family import Arguments, Family, Published, pixels
from ..keymap import Cut, KeyMap
from ..layout import Discrete
from ..mixers import Attention
from ..system import System
from ..systems.arpg import arpg
from ..tokenizers.base import Tokenizer
from . import vq
from .llamagen import hidden_multiple, side

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


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A size; `depth` is that of both halves. Guidance and steps are the published ones of the smallest size."""
    vocab, dim = (args.size("head.weight", axis) for axis in (0, 1))
    coder = args.fitting(tokenizer, Discrete(args.seen("vocab_size", vocab)))
    heads, dropout = args.asked("n_head", hint="attention heads"), args.asked("resid_dropout_p", 0.1)
    for name, only in {
        "cls_token_num": 1,
        "attn_dropout_p": 0.0,
        "drop_path_rate": 0.0,
        "token_dropout_p": dropout,
        "ffn_dropout_p": dropout,
    }.items():
        args.must(name, only)
    halves = [args.count(f"layers.{half}.{{}}.*") for half in ("self_dec", "cross_dec")]
    depth, hidden = args.seen("n_layer", sum(halves)), args.size("layers.self_dec.0.ffn.w1.weight")
    backbone = TwoPass(
        args.seen("dim", dim),
        depth,
        Attention(heads),
        heads,
        dropout,
        hidden_multiple(dim, hidden, args.asked("multiple_of", 256)),
        args.asked("rope_base", 10000.0),
        args.asked("norm_eps", 1e-5),
    )
    classes = args.seen("num_classes", args.size(_TABLE) - vocab - 3)  # the query, "no class", and a token of variants
    steps = min(64, side(args) ** 2)
    system = arpg(depth, heads, dim, 4.5, steps, pixels(coder, side(args)), coder)
    return replace(system, condition=Label(classes, args.asked("class_dropout_prob", 0.1)), backbone=backbone)


PUBLISHED = {
    size: Published(f"hp-l33/ARPG:arpg_{label}.pt", "FoundationVision/LlamaGen:vq_ds16_c2i.pt")
    for size, label in (("l", "300m"), ("xl", "700m"), ("xxl", "1b"))
}
FAMILY = Family(read, lambda spec: KEYS, vq.CODER, PUBLISHED, wrapper="model", licence="MIT")
