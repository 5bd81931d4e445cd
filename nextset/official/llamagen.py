"""The names of the official weights of LlamaGen (Sun et al. 2024, arXiv 2406.06525)."""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Llama
from ..conditions import Condition, Label, Text
from ..errors import UsageError
from ..family import Arguments, Family, Published, pixels
from ..keymap import KeyMap
from ..layout import Discrete
from ..mixers import Attention
from ..nn.feedforward import round_up
from ..system import System
from ..systems.llamagen import captioned, llamagen
from ..tokenizers.base import Tokenizer
from . import vq

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


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A size; the sites of an image are not in the weights, and neither is the number of heads."""
    vocab, dim = (args.size("tok_embeddings.weight", axis) for axis in (0, 1))
    condition, backbone = asking(args), llama(args, args.seen("dim", dim))
    coder = args.fitting(tokenizer, Discrete(args.seen("vocab_size", vocab)))
    size = pixels(coder, side(args))
    of = captioned(size) if isinstance(condition, Text) else llamagen(backbone.depth, 1, dim, size)
    return replace(of, tokenizer=coder, condition=condition, backbone=backbone)


def llama(args: Arguments, dim: int) -> Llama:
    """The blocks."""
    depth = args.seen("n_layer", args.count("layers.{}.*"))
    heads = args.asked("n_head", hint="attention heads")
    width, kv = dim // heads, args.asked("n_kv_head", None) or heads
    if width * (heads + 2 * kv) != args.size("layers.0.attention.wqkv.weight"):
        raise UsageError(f"config: n_head={heads} and n_kv_head={kv} do not fit the attention of {args.source}")
    dropout = args.asked("resid_dropout_p", 0.1)
    for name in ("token_dropout_p", "ffn_dropout_p"):
        args.must(name, dropout)
    for name in ("attn_dropout_p", "drop_path_rate"):
        args.must(name, 0.0)
    return Llama(
        dim,
        depth,
        Attention(heads, 0 if kv == heads else kv),
        dropout,
        hidden_multiple(dim, args.size("layers.0.feed_forward.w1.weight"), args.asked("multiple_of", 256)),
        args.asked("rope_base", 10000.0),
        args.asked("norm_eps", 1e-5),
    )


def hidden_multiple(dim: int, hidden: int, usual: int) -> int:
    """What 8/3 of the width is rounded up to, for a feed-forward of so many: the usual, or one that makes it."""
    least = int(8 * dim / 3)
    if round_up(least, usual) == hidden:
        return usual
    if hidden < least:
        raise UsageError(
            f"a feed-forward layer of {hidden} at width {dim} is below 8/3 of it, which Llama does not have"
        )
    return hidden


def asking(args: Arguments) -> Condition:
    """Classes, or captions where there is a projection of their features."""
    dropout, empty = args.asked("class_dropout_prob", 0.1), "cls_embedding.uncond_embedding"
    if empty in args:
        slots, dim = (args.size(empty, axis) for axis in (0, 1))
        return Text(args.seen("caption_dim", dim), args.seen("cls_token_num", slots), dropout)
    args.must("cls_token_num", 1)
    return Label(args.seen("num_classes", args.size("cls_embedding.embedding_table.weight") - 1), dropout)


def side(args: Arguments) -> int:
    """Sites a side, of a square image."""
    return args.square("block_size", args.asked("block_size", hint="sites of an image, such as 256 for 16 x 16"))


PUBLISHED = {
    f"{size}{'' if pixels == 256 else f'-{pixels}'}": Published(
        f"FoundationVision/LlamaGen:c2i_{size.upper()}_{pixels}.pt", "FoundationVision/LlamaGen:vq_ds16_c2i.pt"
    )
    for size, pixels in (
        ("b", 256),
        ("l", 256),
        ("b", 384),
        ("l", 384),
        ("xl", 384),
        ("xxl", 384),
        ("3b", 384),
    )
} | {
    f"t2i-xl-{pixels}": Published(
        f"peizesun/llamagen_t2i:t2i_XL_stage{stage}_{pixels}.pt", "peizesun/llamagen_t2i:vq_ds16_t2i.pt"
    )
    for stage, pixels in ((1, 256), (2, 512))
}
FAMILY = Family(read, lambda spec: KEYS, vq.CODER, PUBLISHED, wrapper="model", licence="MIT (most of the code)")
