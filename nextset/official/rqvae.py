"""The names of the official weights of RQ-Transformer on an RQ-VAE (Lee et al. 2022, arXiv 2203.01941)."""

from __future__ import annotations

from ..keymap import KeyMap, Padded, Rule, Squeezed
from ..tokenizers.rq import RQ
from .conv_names import vqgan_names

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
