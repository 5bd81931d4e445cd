"""The official weights of MaskGIT's VQGAN (Chang et al. 2022, arXiv 2202.04200), from open-muse by way of 1d-tokenizer."""

from __future__ import annotations

import torch

from ..family import UNSAID, Arguments, Coder, Published
from ..keymap import Fresh, KeyMap
from ..tokenizers.maskgit_vq import MaskGITVQ

_CODES = "quantize.embedding.weight"
_WAYS = {"encoder": "down", "decoder": "up"}
_BLOCKS = {"shortcut.*": "nin_shortcut.*", "*": "*"}
KEYS = KeyMap(
    {f"{n}.levels.{{}}.blocks.{{}}.{k}": f"{n}.{_WAYS[n]}.{{}}.block.{{}}.{_BLOCKS[k]}" for n in _WAYS for k in _BLOCKS}
    | {"decoder.levels.{}.rise.*": "decoder.up.{}.upsample_conv.*", "codebook.weight": _CODES}
    | {f"{net}.middle.*": f"{net}.mid.*" for net in _WAYS}
    | {f"{net}.{end}": f"{net}.{end}" for net in _WAYS for end in ("conv_*", "norm_*")},
    (
        Fresh("codebook.hits", _CODES, lambda codes: codes.new_zeros(len(codes))),
        Fresh("codebook.batches", _CODES, lambda codes: codes.new_zeros((), dtype=torch.int64)),
    ),
)


def read(args: Arguments) -> MaskGITVQ:
    """Everything but the number of normalisation groups is in the shapes."""
    vocab, dim = (args.size(_CODES, axis) for axis in (0, 1))
    width, first = args.size("encoder.conv_in.weight"), "encoder.down.{}.block.0.conv1.weight"
    levels = args.seen("num_resolutions", args.count(first))
    multipliers = tuple(args.size(first.format(level)) // width for level in range(levels))
    args.seen("z_channels", dim)
    args.must("dropout", 0.0)
    return MaskGITVQ(
        vocab=args.seen("num_embeddings", vocab),
        dim=args.seen("embedding_dim", dim),
        width=args.seen("hidden_channels", width),
        multipliers=args.seen("channel_mult", multipliers),
        blocks=args.seen("num_res_blocks", args.count("encoder.down.0.block.{}.conv1.weight")),
        groups=args.asked(
            "num_groups", UNSAID if width % 32 else 32, hint="normalisation groups, 32 in the published file"
        ),
        channels=args.seen("num_channels", args.size("encoder.conv_in.weight", 1)),
        beta=args.asked("commitment_cost", 0.25),
    )


FILE = "fun-research/TiTok:maskgit-vqgan-imagenet-f16-256.bin"
CODER = Coder(
    read,
    keys=lambda spec: KEYS,
    sizes={"16": MaskGITVQ()},
    published={"16": Published(tokenizer=FILE)},
    licence="Apache-2.0",
)
