"""The official weights of VAR (Tian et al. 2024, arXiv 2404.02905).

Its `more_smooth`, a way to draw for shows and no evaluation, is left out: there mixtures of codes take the place of tokens.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..backbones import Transformer
from ..conditions import Label
from ..errors import UsageError
from ..family import Arguments, Family, Published, hidden
from ..keymap import KeyMap, Made, Permuted, Rule, Squeezed, Stacked
from ..nn.feedforward import MLP
from ..nn.norm import Layer
from ..system import System
from ..systems.var import VAE, var
from ..tokenizers.base import Tokenizer
from ..tokenizers.multiscale import MultiScaleVQ
from . import multiscale

CHUNKS = (4, 2, 0, 5, 3, 1)  # theirs: gates, scales, shifts of both branches; ours: shift, scale, gate of each


def affine(ours: str, theirs: str, order: tuple[int, ...] = ()) -> dict[str, str | tuple[str, ...] | Rule]:
    """The rules of a matrix and its bias, whose parts come in `order`."""
    names = {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}
    return {mine: Permuted(name, order) if order else name for mine, name in names.items()}


SHARED = {  # what FlexVAR's files have, too
    "condition.embed.weight": "class_emb.weight",
    "wiring.start": Squeezed("pos_start", (0,)),
    **affine("wiring.embed", "word_embed"),
    "backbone.blocks.{}.mixer.scale": Squeezed("blocks.{}.attn.scale_mul_1H11", (0, 2, 3)),
    **{f"backbone.blocks.{{}}.mixer.{part}_bias": f"blocks.{{}}.attn.{part}_bias" for part in "qv"},
    "backbone.blocks.{}.mixer.qkv.weight": "blocks.{}.attn.mat_qkv.weight",
    **affine("backbone.blocks.{}.mixer.out", "blocks.{}.attn.proj"),
    **affine("backbone.blocks.{}.feedforward.rise", "blocks.{}.ffn.fc1"),
    **affine("backbone.blocks.{}.feedforward.fall", "blocks.{}.ffn.fc2"),
    **affine("backbone.modulation.maps.{}", "blocks.{}.ada_lin.1", CHUNKS),
    **affine("backbone.modulation.map", "shared_ada_lin.1", CHUNKS),
    "backbone.modulation.tables": Stacked("blocks.{}.ada_gss", (1, 1, 6, -1), CHUNKS),
    **affine("backbone.norm.map", "head_nm.ada_lin.1", (1, 0)),
    **affine("head.project", "head"),
}

NO_KEY_BIAS = Made("blocks.{}.attn.zero_k_bias", "blocks.{}.attn.q_bias")


def mask(level: Tensor) -> Tensor:
    """Their additive mask (1, 1, L, L) of the scale of every site (1, L)."""
    seen = level[:, None, :, None] >= level[:, None, None, :]
    return torch.zeros_like(seen, dtype=torch.float32).masked_fill(~seen, -torch.inf)


KEYS = KeyMap(
    {
        **SHARED,
        "wiring.places.sites": Squeezed("pos_1LC", (0,)),
        "wiring.places.levels.weight": "lvl_embed.weight",
        "wiring.places.block": Squeezed("lvl_1L", (0,)),
    },
    (NO_KEY_BIAS, Made("attn_bias_for_masking", "lvl_1L", mask)),
)


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A size; its scales are those of its tokenizer, since the shapes show only how many sites they have in all."""
    if not isinstance(tokenizer, MultiScaleVQ):
        raise UsageError(
            f"{args.source} computes with the code vectors of a tokenizer MultiScaleVQ, not of {tokenizer}"
        )
    belongs(args, tokenizer.vocab, tokenizer.dim)
    sides = args.asked("patch_nums", tokenizer.sides)
    found = args.size("lvl_embed.weight"), args.size("pos_1LC", 1)
    if sides != tokenizer.sides or found != (len(sides), sum(side * side for side in sides)):
        raise UsageError(
            f"{args.source} has {found[0]} scales of {found[1]} sites in all, patch_nums={sides}, and its tokenizer "
            f"{tokenizer.sides}; give the same patch_nums and v_patch_nums"
        )
    return sized(args, tokenizer)


def belongs(args: Arguments, vocab: int, dim: int) -> None:
    """Raises UsageError where the tokenizer has other codes than the generator."""
    wanted = args.size("head.weight"), args.size("word_embed.weight", 1)
    if (vocab, dim) != wanted:
        raise UsageError(
            f"the tokenizer does not belong to the generator in {args.source}: it has {vocab} codes of width {dim}, not {wanted[0]} of "
            f"{wanted[1]}"
        )


def sized(args: Arguments, tokenizer: MultiScaleVQ = VAE) -> System:
    """A size on a tokenizer. Stochastic depth (`drop_path_rate`), a help of the official training, is left out."""
    args.must("attn_l2_norm", True)
    args.must("drop_rate", 0.0)
    args.must("attn_drop_rate", 0.0)
    shared, dim = "shared_ada_lin.1.weight" in args, args.seen("embed_dim", args.size("word_embed.weight"))
    heads = args.seen("num_heads", args.size("blocks.0.attn.scale_mul_1H11", 1))
    depth = args.seen("depth", args.count("blocks.{}.attn.mat_qkv.weight"))
    classes = args.seen("num_classes", args.size("class_emb.weight") - 1)
    system = var(depth, tokenizer, classes, dim // heads, heads, args.seen("shared_aln", shared))
    assert isinstance(system.backbone, Transformer)
    assert isinstance(system.condition, Label)
    norm = Layer(affine=False, eps=args.asked("norm_eps", 1e-6))
    mlp = MLP(hidden(args, "blocks.0.ffn.fc1.weight", dim), tanh=True)
    return replace(
        system,
        backbone=replace(system.backbone, feedforward=mlp, norm=norm, final=norm),
        condition=replace(system.condition, dropout=args.asked("cond_drop_rate", 0.1)),
    )


HOME = "FoundationVision/var"
PUBLISHED = {size: Published(f"{HOME}:var_{size}.pth", multiscale.FILE) for size in ("d16", "d20", "d24", "d30", "d36")}
FAMILY = Family(read, lambda spec: KEYS, multiscale.CODER, PUBLISHED, alone=False, licence="MIT")
