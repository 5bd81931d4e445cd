"""The official weights of the multi-scale VQ tokenizer of VAR (Tian et al. 2024, arXiv 2404.02905), which later systems use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..family import Arguments, Coder, Published
from ..systems.var import SIZES
from ..tokenizers.multiscale import MultiScaleVQ

ROOT = "quantize.quant_resi"
WORDS = {  # theirs to ours
    "mid.block_1": "middle.0",
    "mid.attn_1": "middle.1",
    "mid.block_2": "middle.2",
    "block": "blocks",
    "attn": "attention",
    "nin_shortcut": "shortcut",
    "proj_out": "out",
    "quantize.embedding": "codebook",
    "quantize.ema_vocab_hit_SV": "hits",
    "quant_conv": "narrow",
    "post_quant_conv": "widen",
    # phis that some scales share, that all share, and that none share
    f"{ROOT}.qresi_ls": "phis",
    f"{ROOT}.qresi": "phis.0",
    ROOT: "phis",
}


@dataclass(frozen=True)
class OfficialKeys:
    """VAR's names for ours, by the beginnings of words of a dotted key, and back; its decoder counts levels from the picture.

    `shared` is its `share_quant_resi`, which names the phis: 1 is the same for all scales, 0 one a scale. All are understood. The
    codebook's own statistics do not travel: they start afresh.
    """

    shared: int = 4

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """An official state dict under our names. Keys that are not understood keep their names, to be reported."""
        levels = 1 + max((int(key.split(".")[2]) for key in state if key.startswith("decoder.up.")), default=0)
        ours = {}
        for key, value in state.items():
            name = f".{key}."
            for theirs, mine in WORDS.items():
                name = name.replace(f".{theirs}.", f".{mine}.")
            for side in ("down", "up"):
                name = name.replace(f".{side}sample.", ".resample.").replace(f"coder.{side}.", "coder.levels.")
            ours[_turned(name[1:-1], levels)] = value
        codes = ours.get("codebook.weight")
        if codes is not None:
            ours["codebook.hits"] = codes.new_zeros(len(codes))
            ours["codebook.batches"] = torch.zeros((), dtype=torch.int64, device=codes.device)
        return ours

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of `MultiScaleVQModule` under the official names."""
        levels = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("decoder.levels."))
        others = {f"{ROOT}.qresi_ls", f"{ROOT}.qresi", ROOT} - {phis_of(self.shared)}
        theirs = {}
        for key, value in state.items():
            side = "down" if key.startswith("encoder") else "up"
            name = f".{_turned(key, levels)}.".replace(".resample.", f".{side}sample.").replace(".levels.", f".{side}.")
            for official, mine in WORDS.items():
                name = name if official in others else name.replace(f".{mine}.", f".{official}.")
            if key not in ("codebook.hits", "codebook.batches"):
                theirs[name[1:-1]] = value
        return theirs


def phis_of(shared: int) -> str:
    """Where phis lie that so many scales share."""
    return {0: ROOT, 1: f"{ROOT}.qresi"}.get(shared, f"{ROOT}.qresi_ls")


def _turned(key: str, levels: int) -> str:
    """Levels of a decoder counted from the other end."""
    words = key.split(".")
    if key.startswith("decoder.levels."):
        words[2] = str(levels - 1 - int(words[2]))
    return ".".join(words)


def keys(spec: MultiScaleVQ) -> OfficialKeys:
    """The names of a spec's weights: 4 phis are the official default and shared, as many as there are scales else are not."""
    shares = {1: 1, 4: 4}
    return OfficialKeys(shares.get(spec.phis, 0 if spec.phis == len(spec.sides) else spec.phis))


def read(args: Arguments) -> MultiScaleVQ:
    """Everything but the sides, and how codes are compared and blended, is in the shapes."""
    vocab, dim = (args.size("quantize.embedding.weight", axis) for axis in (0, 1))
    width, levels = args.size("encoder.conv_in.weight"), args.count("encoder.down.{}.block.0.conv1.weight")
    widths = [args.size(f"encoder.down.{level}.block.0.conv1.weight") for level in range(levels)]
    phis = seen_phis(args)
    args.must("dropout", 0.0)
    return MultiScaleVQ(
        vocab=args.seen("vocab_size", vocab),
        dim=args.seen("z_channels", dim),
        sides=args.asked("v_patch_nums", hint="the sides of the scales, such as 1, 2, 3, 4, 5, 6, 8, 10, 13, 16"),
        width=args.seen("ch", width),
        multipliers=args.seen("ch_mult", tuple(wide // width for wide in widths)),
        blocks=args.seen("num_res_blocks", args.count("encoder.down.0.block.{}.conv1.weight")),
        channels=args.size("encoder.conv_in.weight", 1),
        beta=args.asked("beta", 0.25),
        phis=phis or 4,
        blend=abs(args.asked("quant_resi", 0.5)) if phis else 0.0,
        kernel=args.seen("quant_conv_ks", args.size("quant_conv.weight", 2)),
        angle=args.asked("using_znorm", False),
    )


def seen_phis(args: Arguments) -> int:
    """How many there are; 0 where codes are added as they are."""
    if f"{phis_of(1)}.weight" in args:
        return args.seen("share_quant_resi", 1)
    if f"{phis_of(0)}.0.weight" in args:
        args.seen("share_quant_resi", 0)
        return args.count(f"{phis_of(0)}.{{}}.weight")
    if f"{phis_of(4)}.0.weight" in args:
        return args.seen("share_quant_resi", args.count(f"{phis_of(4)}.{{}}.weight"))
    return 0


FILE = "FoundationVision/var:vae_ch160v4096z32.pth"  # one for all sides
CODER = Coder(
    read,
    keys=keys,
    sizes={"256": SIZES["d16"].tokenizer, "512": SIZES["d36"].tokenizer},
    published={size: Published(tokenizer=FILE) for size in ("256", "512")},
    licence="MIT",
)
