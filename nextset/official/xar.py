"""The official weights of xAR (Ren et al. 2025, arXiv 2502.20388)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..backbones import Stacked, Transformer
from ..conditions import Label
from ..errors import UsageError
from ..family import Arguments, Family, Published, hidden
from ..keymap import KeyMap, Made, Permuted, Rearranged, Rule
from ..layout import grid
from ..mixers import BiasedAttention
from ..nn.feedforward import GEGLU
from ..noise import Noise
from ..orders import Cells
from ..system import System
from ..systems.xar import dropped, xar
from ..tokenizers.base import Tokenizer
from . import kl_vae


def _to_sites(table: Tensor) -> Tensor:
    """Positions (1, N, D) by cell, four in a square, to ours (N + 1, D) by site, the last for slots without one."""
    by_site = table[0, _by_cell(table.shape[1]).argsort()]
    return torch.cat([by_site, torch.zeros_like(by_site[:1])])


def _to_cells(table: Tensor) -> Tensor:
    return table[None, _by_cell(len(table) - 1)]


def _by_cell(sites: int) -> Tensor:
    return Cells(*[math.isqrt(sites // 4)] * 2).plan(grid(*[math.isqrt(sites)] * 2), Noise(0, range(1))).perm


def _stack(ours: str, theirs: str) -> dict[str, str | tuple[str, ...] | Rule]:
    """The names of one of the two transformers. Official maps of a vector give both gates, both scales, both shifts."""
    mine, block = f"{ours}.blocks.{{}}", f"{theirs}_blocks.{{}}"
    return {
        f"{ours}.positions": Rearranged(f"{theirs}_pos_embed_learned", _to_sites, _to_cells),
        f"{ours}.norm.*": f"{theirs}_norm.*",
        f"{mine}.mixer.qkv.*": f"{block}.attn.qkv.*",
        f"{mine}.mixer.out.*": f"{block}.attn.proj.*",
        f"{mine}.feedforward.rise.*": (f"{block}.mlp.fc1_g.*", f"{block}.mlp.fc1_x.*"),
        f"{mine}.feedforward.fall.*": f"{block}.mlp.fc2.*",
        f"{ours}.modulation.maps.{{}}.*": Permuted(f"{block}.ada_lin.1.*", (4, 2, 0, 5, 3, 1)),
    }


KEYS = KeyMap(
    {
        "condition.embed.weight": "class_emb.weight",
        "wiring.level.rise.*": "time_embed.mlp.0.*",
        "wiring.level.fall.*": "time_embed.mlp.2.*",
        "wiring.embed.*": "z_proj.*",
        "backbone.first.start.weight": "z_proj_ln.weight",
        **_stack("backbone.first", "encoder"),
        "backbone.map.*": "decoder_embed.*",
        **_stack("backbone.second", "decoder"),
        "head.project.*": "pred.*",
    },
    moves=(Made("mask"), Made("encoder_blocks.{}.attn.rope.*"), Made("decoder_blocks.{}.attn.rope.*")),
)


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A size: all is in the shapes. Guidance and steps are those of the largest published one.

    The official code takes 4 cells, whatever its `clusters`, has as many classes as its table, whatever its `class_num`, and never
    reads its `diffusion_batch_mul`.
    """
    args.must("clusters", 4)
    args.must("patch_size", 1)
    sites, channels = args.size("encoder_pos_embed_learned", 1), args.size("z_proj.weight", 1)
    coder, image = kl_vae.pictured(args, tokenizer, channels, sites)
    dim, wide = (args.size(f"{part}.weight") for part in ("z_proj", "decoder_embed"))
    if args.seen("encoder_embed_dim", dim) != args.seen("decoder_embed_dim", wide):
        raise UsageError(f"the encoder of {args.source} has width {dim}, its decoder {wide}; one vector modulates both")
    condition = Label(args.size("class_emb.weight") - 1, args.asked("label_drop_prob", 0.1), slots=0, vector=True)
    system, cell = xar(1, 1, dim), args.square("sites", sites) // 2
    assert isinstance(system.backbone, Stacked)
    first, second = system.backbone.first, system.backbone.second
    assert isinstance(first, Transformer)
    assert isinstance(second, Transformer)
    return dropped(
        replace(
            system,
            tokenizer=coder,
            size=(image, image),
            order=Cells(cell, cell),
            condition=condition,
            backbone=Stacked(_sized(args, "encoder", first), _sized(args, "decoder", second)),
        ),
        args.asked("proj_dropout", 0.0),
    )


def _sized(args: Arguments, part: str, stack: Transformer) -> Transformer:
    """A stack as large as the shapes say."""
    block = f"{part}_blocks.{{}}"
    heads = stack.dim // args.size(f"{block.format(0)}.attn.rope.freqs_cos", 1)
    weights = args.asked("attn_dropout", 0.0)
    weights = None if weights == args.asked("proj_dropout", 0.0) else weights
    return replace(
        stack,
        depth=args.seen(f"{part}_depth", args.count(f"{block}.attn.qkv.weight")),
        mixer=BiasedAttention(args.seen(f"{part}_num_heads", heads), weights=weights),
        feedforward=GEGLU(hidden(args, f"{block.format(0)}.mlp.fc1_g.weight", stack.dim, 2 / 3)),
    )


PUBLISHED = {
    size: Published(f"OliverRen/xAR:xAR-{size.upper()}.pth", kl_vae.FILE, kl_vae.HOME) for size in ("b", "l", "h")
}
FAMILY = Family(read, lambda spec: KEYS, kl_vae.CODER, PUBLISHED)
