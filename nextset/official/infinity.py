"""The names of the official weights of Infinity (Han et al. 2024, arXiv 2412.04431).

Blocks lie in chunks, of a number that no output depends on. What is here is the text-to-image model on bits; drop path, which acts in
training only, has no counterpart.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

from ..backbones import Transformer
from ..conditions import Attended
from ..errors import UsageError
from ..family import Arguments, Family, Published
from ..keymap import KeyMap, Made, Move, Squeezed, Stacked, State
from ..mixers import CosineAttention
from ..nn.feedforward import MLP
from ..nn.modulation import Each, Grouped
from ..nn.norm import Layer
from ..nn.places import ScaleTable
from ..nn.reading import Reader
from ..nn.rotary import BySpread
from ..system import System
from ..systems.infinity import infinity
from ..tokenizers.base import Tokenizer
from ..tokenizers.bsq import MultiScaleBSQ
from ..tokenizers.templates import AREAS, FINEST, template
from ..wirings import Upsampled
from . import bsq
from .var import CHUNKS, affine


@dataclass(frozen=True)
class Chunked(Move):
    """Blocks in `chunks` of as many each (of the greatest number that divides it and the depth); in one they lie as they are.

    Inward any number will do.
    """

    chunks: int = 8

    def inward(self, state: State) -> None:
        """Counted through."""
        found = [re.fullmatch(r"block_chunks\.(\d+)\.module\.(\d+)\.(.+)", key) for key in state]
        places = [(match[0], int(match[1]), int(match[2]), match[3]) for match in found if match]
        each = 1 + max((block for _, _, block, _ in places), default=0)
        for key, chunk, block, rest in places:
            state[f"blocks.{chunk * each + block}.{rest}"] = state.pop(key)

    def outward(self, state: State) -> None:
        """Cut again."""
        places = [re.fullmatch(r"blocks\.(\d+)\.(.+)", key) for key in state]
        depth = 1 + max((int(match[1]) for match in places if match), default=-1)
        chunks = math.gcd(depth, self.chunks)
        for match in places:
            if match and chunks > 1:
                chunk, block = divmod(int(match[1]), depth // chunks)
                state[f"block_chunks.{chunk}.module.{block}.{match[2]}"] = state.pop(match[0])


def keys(chunks: int = 8) -> KeyMap:
    """The names, for files whose blocks lie in so many chunks; that matters on the way back alone."""
    block, ours = "blocks.{}", "backbone.blocks.{}"
    reading = {"keys_values.weight": "mat_kv.weight", "v_bias": "v_bias", **affine("out", "proj")}
    no_key_biases = ("text_proj_for_sos.ca", f"{block}.sa", f"{block}.ca")
    return KeyMap(
        {
            "condition.empty": "cfg_uncond",
            "condition.norm.weight": "text_norm.weight",
            "condition.pool.query": Squeezed("text_proj_for_sos.ca.mat_q", (0,)),
            **{f"condition.pool.reading.{a}": f"text_proj_for_sos.ca.{b}" for a, b in reading.items()},
            **affine("condition.fc1", "text_proj_for_ca.0"),
            **affine("condition.fc2", "text_proj_for_ca.2"),
            "wiring.start": Squeezed("pos_start", (0,)),
            "wiring.places.levels.weight": "lvl_embed.weight",
            **affine("wiring.embed", "word_embed"),
            f"{ours}.mixer.scale": Squeezed(f"{block}.sa.scale_mul_1H11", (0, 2, 3)),
            **{f"{ours}.mixer.{part}_bias": f"{block}.sa.{part}_bias" for part in "qv"},
            f"{ours}.mixer.qkv.weight": f"{block}.sa.mat_qkv.weight",
            **affine(f"{ours}.mixer.out", f"{block}.sa.proj"),
            **affine(f"{ours}.reader.norm", f"{block}.ca_norm"),
            **affine(f"{ours}.reader.query", f"{block}.ca.mat_q"),
            **{f"{ours}.reader.reading.{a}": f"{block}.ca.{b}" for a, b in reading.items()},
            f"{ours}.reader.scale": f"{block}.ca_gamma",
            **affine(f"{ours}.feedforward.rise", f"{block}.ffn.fc1"),
            **affine(f"{ours}.feedforward.fall", f"{block}.ffn.fc2"),
            **affine("backbone.modulation.map", "shared_ada_lin.1", CHUNKS),
            "backbone.modulation.tables": Stacked(f"{block}.ada_gss", (1, 1, 6, -1), CHUNKS),
            **affine("backbone.modulation.maps.{}", f"{block}.ada_lin.1", CHUNKS),
            **affine("backbone.norm.map", "head_nm.ada_lin.1", (1, 0)),
            **affine("head.project", "head"),
        },
        (Chunked(chunks), *(Made(f"{part}.zero_k_bias", f"{part}.v_bias") for part in no_key_biases)),
    )


KEYS = keys()
ONLY: dict[str, tuple[Any, ...]] = {  # what there is one way of, and its value
    "rms_norm": (False,),
    "head_aln": (True,),
    "head_depth": (1,),
    "nm0": (False,),
    "cos_attn": (True,),
    "swiglu": (False,),
    "use_bit_label": (1,),
    "add_lvl_embeding_only_first_block": (1,),
    "rope2d_each_sa_layer": (1,),
    "rope2d_normalized_by_hw": (2, 0),
    "video_frames": (1,),
}


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A size, on the maps of `pn` and the first of `train_h_div_w_list`; other shapes of picture are `System.sized`."""
    for name, allowed in ONLY.items():
        args.must(name, *allowed)
    dim = args.seen("embed_dim", args.size("word_embed.weight"))
    condition, backbone = asking(args), transformer(args, dim)
    coder = fitting(args, tokenizer)
    wide = (3 * dim) ** -0.5
    mixer = backbone.mixer
    assert isinstance(mixer, CosineAttention)
    return replace(
        infinity(backbone.depth, dim, mixer.heads, coder, condition),
        backbone=backbone,
        wiring=Upsampled(ScaleTable(args.size("lvl_embed.weight"), wide), wide),
    )


def fitting(args: Arguments, tokenizer: Tokenizer | None) -> MultiScaleBSQ:
    """The tokenizer, on the maps and with the patches of this generator. Raises UsageError for one of other bits."""
    bits = args.size("word_embed.weight", 1)
    if not isinstance(tokenizer, MultiScaleBSQ) or bits not in (tokenizer.dim, 4 * tokenizer.dim):
        raise UsageError(
            f"the tokenizer does not belong to the generator in {args.source}, whose tokens are {bits} bits, each that or a quarter "
            f"of that a site: it is {tokenizer}"
        )
    patched = args.seen("apply_spatial_patchify", bits != tokenizer.dim)
    area, shapes = args.asked("pn", "1M"), args.asked("train_h_div_w_list", None) or (1.0,)
    if area not in AREAS:
        raise UsageError(f"config: pn={area} is not known; there are {', '.join(AREAS)}")
    return replace(tokenizer, patch=1 + bool(patched), sides=template(shapes[0], area))


def asking(args: Arguments) -> Attended:
    """Captions."""
    length, dim = (args.size("cfg_uncond", axis) for axis in (0, 1))
    return Attended(
        args.seen("text_channels", dim),
        args.seen("text_maxlen", length),
        args.size("text_proj_for_sos.ca.mat_q", 1),
        args.asked("cond_drop_rate", 0.1),
        (3 * args.size("word_embed.weight")) ** -0.5,
        args.asked("norm_eps", 1e-6),
        not args.asked("rand_uncond", False),
    )


def transformer(args: Arguments, dim: int) -> Transformer:
    """The blocks."""
    chunked, key = "block_chunks.0.module.0.sa.q_bias" in args, "blocks.{}.sa.q_bias"
    chunks = args.seen("block_chunks", args.count("block_chunks.{}.module.0.sa.q_bias") if chunked else 1)
    each = args.count("block_chunks.0.module.{}.sa.q_bias" if chunked else key)
    first = "block_chunks.0.module.0" if chunked else "blocks.0"
    eps, std, gate = args.asked("norm_eps", 1e-6), (3 * dim) ** -0.5, 5e-6
    heads = args.seen("num_heads", args.size(f"{first}.sa.scale_mul_1H11", 1))
    shared = args.seen("shared_aln", "shared_ada_lin.1.weight" in args)
    plain = Layer(affine=False, eps=eps)
    return Transformer(
        dim,
        args.seen("depth", chunks * each),
        CosineAttention(heads),
        MLP(args.size(f"{first}.ffn.fc1.weight"), tanh=True),
        norm=plain,
        final=plain,
        modulation=Grouped(1, 1e-3 * std, gate * std) if shared else Each(1e-3 * std, gate * std),
        rotary_base=10000.0,
        dropout=args.asked("drop_rate", 0.0),
        std=std,
        turning=BySpread(FINEST if args.asked("rope2d_normalized_by_hw", 2) == 2 else ()),
        reader=Reader(
            heads,
            Layer(eps=eps),
            args.asked("cross_attn_layer_scale", 1.0) if f"{first}.ca_gamma" in args else None,
        ),
    )


PUBLISHED = {
    "2b": Published(f"{bsq.HOME}:infinity_2b_reg.pth", f"{bsq.HOME}:infinity_vae_d32reg.pth"),
    "8b": Published(f"{bsq.HOME}:infinity_8b_weights", f"{bsq.HOME}:infinity_vae_d56_f8_14_patchify.pth"),
    "8b-512": Published(f"{bsq.HOME}:infinity_8b_512x512_weights", f"{bsq.HOME}:infinity_vae_d56_f8_14_patchify.pth"),
}
FAMILY = Family(read, lambda spec: KEYS, bsq.CODER, PUBLISHED, alone=False, licence="MIT")
