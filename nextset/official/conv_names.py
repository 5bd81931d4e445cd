"""The names that VQGAN's repository, and those that follow it, give to the weights of nn/conv.py's two nets, and what their shapes show.

`{}` stands for one number. Theirs count the decoder's levels from the finest, ours in the order of computing; their queries, keys and
values are convolutions of their own.
"""

from __future__ import annotations

from typing import Any

from ..family import Arguments

Names = dict[str, str | tuple[str, ...]]


def vqgan_names(levels: int) -> Names:
    """Of an `encoder` and a `decoder` of so many levels, ours to theirs; several of theirs are joined."""
    names: Names = {}
    for net in ("encoder", "decoder"):
        for end in ("weight", "bias"):
            names |= {f"{net}.{part}.{end}": f"{net}.{part}.{end}" for part in ("conv_in", "norm_out", "conv_out")}
        names |= _block(f"{net}.middle.0", f"{net}.mid.block_1") | _block(f"{net}.middle.2", f"{net}.mid.block_2")
        names |= _attention(f"{net}.middle.1", f"{net}.mid.attn_1")
    for place in range(levels):
        names |= _level(f"encoder.levels.{place}", f"encoder.down.{place}", "downsample")
        names |= _level(f"decoder.levels.{place}", f"decoder.up.{levels - 1 - place}", "upsample")
    return names


def _level(ours: str, theirs: str, resample: str) -> Names:
    names = _block(f"{ours}.blocks.{{}}", f"{theirs}.block.{{}}")
    names |= _attention(f"{ours}.attention.{{}}", f"{theirs}.attn.{{}}")
    return names | {f"{ours}.resample.conv.{end}": f"{theirs}.{resample}.conv.{end}" for end in ("weight", "bias")}


def _block(ours: str, theirs: str) -> Names:
    parts = {part: part for part in ("norm1", "conv1", "norm2", "conv2")} | {"shortcut": "nin_shortcut"}
    return {f"{ours}.{a}.{end}": f"{theirs}.{b}.{end}" for a, b in parts.items() for end in ("weight", "bias")}


def _attention(ours: str, theirs: str) -> Names:
    names: Names = {}
    for end in ("weight", "bias"):
        names[f"{ours}.norm.{end}"] = f"{theirs}.norm.{end}"
        names[f"{ours}.qkv.{end}"] = tuple(f"{theirs}.{part}.{end}" for part in "qkv")
        names[f"{ours}.out.{end}"] = f"{theirs}.proj_out.{end}"
    return names


# -- sizes


def nets(args: Arguments) -> dict[str, Any]:
    """Fields of a `Convolutional` tokenizer: all that the shapes show, and the number of normalisation groups."""
    first, width = "encoder.down.{}.block.0.conv1.weight", args.size("encoder.conv_in.weight")
    multipliers = tuple(args.size(first.format(level)) // width for level in range(args.count(first)))
    channels = args.seen("in_channels", args.size("encoder.conv_in.weight", 1))
    args.must("out_ch", channels)
    args.must("dropout", 0.0)
    args.must("resamp_with_conv", True)
    return {
        "width": args.seen("ch", width),
        "multipliers": args.seen("ch_mult", multipliers),
        "blocks": args.seen("num_res_blocks", args.count("encoder.down.0.block.{}.conv1.weight")),
        "groups": args.asked("num_groups", 32),
        "channels": channels,
    }


def attended(args: Arguments) -> tuple[int, ...]:
    """Levels of the encoder that have attention, counted from the end: -1 is the lowest."""
    levels = args.count("encoder.down.{}.block.0.conv1.weight")
    return tuple(level - levels for level in range(levels) if f"encoder.down.{level}.attn.0.norm.weight" in args)
