"""The official weights of RQ-Transformer on an RQ-VAE (Lee et al. 2022, arXiv 2203.01941)."""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Transformer
from ..conditions import Words
from ..errors import UsageError
from ..family import Arguments, Coder, Family, Published
from ..heads import DepthTransformer
from ..keymap import KeyMap, Padded, Rule, Squeezed
from ..mixers import BiasedAttention
from ..objectives import Captioned, NextSet
from ..system import System
from ..systems.rqvae import rqvae
from ..tokenizers.base import Tokenizer
from ..tokenizers.rq import RQ
from .conv_names import attended, nets, vqgan_names

ENDS = ("weight", "bias")

BLOCK: dict[str, tuple[str, ...]] = {
    "mixer_norm": ("ln1",),
    "mixer.qkv": ("attn.query", "attn.key", "attn.value"),
    "mixer.out": ("attn.proj",),
    "feedforward_norm": ("ln2",),
    "feedforward.rise": ("mlp.0",),
    "feedforward.fall": ("mlp.2",),
}

OTHERS = {
    "wiring.project": "input_mlp",
    "head.context": "head_mlp",
    "head.norm": "classifier.layer_norm",
    "head.project": "classifier.linear",
    "condition.norm": "cond_classifier.layer_norm",
    "condition.project": "cond_classifier.linear",
}

KEYS = KeyMap(
    {
        f"{stack}.blocks.{{}}.{ours}.{end}": tuple(f"{other}_transformer.blocks.{{}}.{name}.{end}" for name in theirs)
        for stack, other in {"backbone": "body", "head": "head"}.items()
        for ours, theirs in BLOCK.items()
        for end in ENDS
    }
    | {f"{ours}.{end}": f"{theirs}.{end}" for ours, theirs in OTHERS.items() for end in ENDS}
    | {
        "condition.embed.weight": "cond_emb.weight",
        "condition.position": Squeezed("pos_emb_cond"),
        "wiring.position": Squeezed("pos_emb_hw"),
        "head.position": Squeezed("pos_emb_d"),
    }
)


def tokenizer_keys(spec: RQ) -> KeyMap:
    """The official names of a tokenizer's weights; a shared codebook is there once a code, with a row for padding."""
    names: dict[str, str | tuple[str, ...] | Rule] = {**vqgan_names(len(spec.multipliers))}
    names |= {
        f"{a}.{end}": f"{b}.{end}" for a, b in (("narrow", "quant_conv"), ("widen", "post_quant_conv")) for end in ENDS
    }
    for part, name, rows in (("weight", "weight", 1), ("sizes", "cluster_size_ema", 0), ("sums", "embed_ema", 0)):
        books = [f"quantizer.codebooks.{code}.{name}" for code in range(spec.codes)]
        for index, copies in enumerate([tuple(books)] if spec.shared else [(book,) for book in books]):
            names[f"codebooks.{index}.{part}"] = Padded(copies, rows)
    return KeyMap(names)


# -- sizes


def read_tokenizer(args: Arguments) -> RQ:
    """Everything but whether all codes share one codebook, which files hold once a code, is in the shapes."""
    for name, only in {"bottleneck_type": "rq", "code_hier": 1, "double_z": False, "loss_type": "mse"}.items():
        args.must(name, only)
    codes = args.count("quantizer.codebooks.{}.weight")
    shape = args.asked("code_shape", None)
    if shape is not None:
        args.seen("latent_shape", (*shape[:2], args.size("quant_conv.weight")))
        args.seen("code_shape", (*shape[:2], codes))
    return RQ(
        vocab=args.seen("n_embed", args.size("quantizer.codebooks.0.weight") - 1),
        dim=args.seen("embed_dim", args.size("quant_conv.weight")),
        codes=codes,
        attention=attended(args),
        latent=args.seen("z_channels", args.size("quant_conv.weight", 1)),
        shared=args.asked("shared_codebook", hint="one codebook for all codes of a site"),
        beta=args.asked("latent_loss_weight", 0.25),
        decay=args.asked("decay", 0.99),
        **nets(args),
    )


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A size; the numbers of heads and how sites lie are not in the weights. How it is drawn is that of most published sizes."""
    if not isinstance(tokenizer, RQ):
        raise UsageError(f"{args.source} computes with the code vectors of a tokenizer RQ, not of {tokenizer}")
    _only(args)
    codes, dim = args.size("pos_emb_d", 1), args.seen("embed_dim", args.size("input_mlp.weight"))
    wanted = args.seen("vocab_size", args.size("classifier.linear.weight")), codes
    wide = args.seen("input_embed_dim", args.size("input_mlp.weight", 1))
    if (tokenizer.vocab, tokenizer.codes, tokenizer.dim) != (*wanted, wide):
        raise UsageError(
            f"the tokenizer does not belong to the generator in {args.source}: it has {tokenizer.codes} codes of {tokenizer.vocab} of width "
            f"{tokenizer.dim}, not {codes} of {wanted[0]} of {wide}"
        )
    height, width, _ = args.asked("block_size", hint="sites down and across, and codes a site")
    if height * width != args.size("pos_emb_hw", 1):
        raise UsageError(
            f"config: block_size says {height} x {width} sites, {args.source} {args.size('pos_emb_hw', 1)}"
        )
    args.seen("block_size", (height, width, codes))
    predicted = "cond_classifier.linear.weight" in args
    words = Words(
        _one_or(args, "vocab_size_cond", args.size("cond_emb.weight")),
        _one_or(args, "block_size_cond", args.size("pos_emb_cond", 1)),
        None,
        predicted=predicted,
    )
    depth, body, dropout = _stack(args, "body")
    system = rqvae(depth, body.heads, dim, tokenizer=tokenizer, condition=words)
    late, head, own = _stack(args, "head")
    assert isinstance(system.backbone, Transformer)
    return replace(
        system,
        size=(height * tokenizer.stride, width * tokenizer.stride),
        backbone=replace(system.backbone, mixer=body, dropout=dropout, input_dropout=args.asked("embd_pdrop", 0.0)),
        head=DepthTransformer(late, head, own),
        objective=Captioned() if predicted else NextSet(),
    )


def _only(args: Arguments) -> None:
    """Refuses what the official code can do, and no published size does."""
    for name in ("shared_cls_emb", "input_emb_vqvae", "head_emb_vqvae", "cumsum_depth_ctx"):
        args.must(name, True)
    for name in ("use_padding_emb", "scaled_head_emb_vqvae"):
        args.must(name, False)


def _one_or(args: Arguments, name: str, size: int) -> int:
    """A size that the official code makes at least 1, so that a config may say 0."""
    return size if size == 1 and args.asked(name, 1) == 0 else args.seen(name, size)


def _stack(args: Arguments, part: str) -> tuple[int, BiasedAttention, float]:
    """Depth, mixer and dropout of `body` or `head`."""
    for name, only in {"gelu": "v1", "attn_bias": True, "mlp_bias": True}.items():
        args.must(f"{part}.block.{name}", only)
    depth = args.seen(f"{part}.n_layer", args.count(f"{part}_transformer.blocks.{{}}.ln1.weight"))
    heads = args.asked(f"{part}.block.n_head", hint="attention heads")
    weights = args.asked(f"{part}.block.attn_pdrop", 0.0)
    return depth, BiasedAttention(heads, weights=weights), args.asked(f"{part}.block.resid_pdrop", 0.1)


HOME = "https://github.com/kakaobrain/rq-vae-transformer"  # whose README links archives, each of a generator and its tokenizer
PUBLISHED = {size: Published(f"{size}.tar.gz", home=HOME) for size in ("ffhq", "church", "cat", "bedroom", "cc3m")} | {
    "480m": Published("imagenet_480M.tar.gz", home=HOME),
    "821m": Published("imagenet_821M.tar.gz", home=HOME),
    "1.4b": Published(
        "imagenet_1.4B_rqvae_50e.tar.gz", home=HOME
    ),  # imagenet_1.4B.tar.gz: on a tokenizer of less training
    "3.8b": Published("imagenet_3.8B_rqvae_50e.tar.gz", home=HOME),
}
LICENCE = "CC-BY-NC-SA-4.0"  # of the weights; the code's is Apache-2.0
CODER = Coder(read_tokenizer, tokenizer_keys, wrapper="state_dict", licence=LICENCE)
FAMILY = Family(read, lambda spec: KEYS, CODER, PUBLISHED, alone=False, wrapper="state_dict", licence=LICENCE)
