"""The official weights of the VQ tokenizers of LlamaGen (Sun et al. 2024, arXiv 2406.06525), which many later systems use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..family import UNSAID, Arguments, Coder, Published
from ..tokenizers.vq import VQ

USED = "quantize.codebook_used"  # in LlamaGen's files: the last 65,536 ids it trained on, which no output depends on
SEEN = 65536


@dataclass(frozen=True)
class OfficialKeys:
    """LlamaGen's names for ours, word by word of a dotted key, and back; its separate q, k, v are one matrix here.

    Statistics of use do not travel: each way they start afresh. Theirs are always written, as all published files have them; a module
    that was made with `codebook_show_usage=False` has no such buffer, and loads the rest.
    """

    words: Mapping[str, str]

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """An official state dict under our names. Keys that are not understood keep their names, to be reported."""
        back = {theirs: ours for ours, theirs in self.words.items()} | {
            "downsample": "resample",
            "upsample": "resample",
        }
        left = {key: value for key, value in state.items() if key != USED}
        for key in [key for key in left if ".q." in key]:
            triple = [key.replace(".q.", f".{part}.") for part in "qkv"]
            if all(part in left for part in triple):
                left[key.replace(".q.", ".qkv.")] = torch.cat([left.pop(part) for part in triple])
        ours = {_renamed(key.replace("quantize.embedding", "quantize"), back): value for key, value in left.items()}
        codes = ours.get("codebook.weight")
        if codes is not None:
            ours["codebook.hits"] = codes.new_zeros(len(codes))
            ours["codebook.batches"] = torch.zeros((), dtype=torch.int64, device=codes.device)
        return ours

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of `VQModule` under the official names."""
        theirs: dict[str, Tensor] = {}
        for key, value in state.items():
            side = "downsample" if key.startswith("encoder") else "upsample"
            name = _renamed(key, {**self.words, "resample": side}).replace("quantize", "quantize.embedding")
            if ".qkv." in name:
                theirs |= {name.replace(".qkv.", f".{p}."): v for p, v in zip("qkv", value.chunk(3), strict=True)}
            elif name not in ("quantize.embedding.hits", "quantize.embedding.batches"):
                theirs[name] = value
        return theirs | {USED: state["codebook.weight"].new_zeros(SEEN)}


def _renamed(key: str, words: Mapping[str, str]) -> str:
    return ".".join(words.get(word, word) for word in key.split("."))


KEYS = OfficialKeys(
    {
        "levels": "conv_blocks",
        "blocks": "res",
        "attention": "attn",
        "middle": "mid",
        "shortcut": "nin_shortcut",
        "out": "proj_out",
        "codebook": "quantize",
        "narrow": "quant_conv",
        "widen": "post_quant_conv",
    }
)


def read(args: Arguments) -> VQ:
    """Everything but the number of normalisation groups is in the shapes."""
    vocab, dim = (args.size("quantize.embedding.weight", axis) for axis in (0, 1))
    width, levels = args.size("encoder.conv_in.weight"), args.count("encoder.conv_blocks.{}.res.0.conv1.weight")
    widths = [args.size(f"encoder.conv_blocks.{level}.res.0.conv1.weight") for level in range(levels)]
    multipliers = tuple(args.seen("encoder_ch_mult", tuple(wide // width for wide in widths)))
    args.must("decoder_ch_mult", multipliers, list(multipliers))
    args.must("dropout_p", 0.0)
    return VQ(
        vocab=args.seen("codebook_size", vocab),
        dim=args.seen("codebook_embed_dim", dim),
        width=args.seen("ch", width),
        multipliers=multipliers,
        blocks=args.seen("num_res_blocks", args.count("encoder.conv_blocks.0.res.{}.conv1.weight")),
        latent=args.seen("z_channels", args.size("encoder.conv_out.weight")),
        groups=args.asked(
            "num_groups", UNSAID if width % 32 else 32, hint="normalisation groups, 32 in published files"
        ),
        channels=args.size("encoder.conv_in.weight", 1),
        beta=args.asked("commit_loss_beta", 0.25),
        normalise=args.asked("codebook_l2_norm", True),
    )


VQ16, VQ8 = VQ(16384, 8), VQ(16384, 8, multipliers=(1, 2, 2, 4))
CODER = Coder(
    read,
    keys=lambda spec: KEYS,
    sizes={"16": VQ16, "8": VQ8, "16-t2i": VQ16},
    published={
        "16": Published(tokenizer="FoundationVision/LlamaGen:vq_ds16_c2i.pt"),
        "8": Published(tokenizer="FoundationVision/LlamaGen:vq_ds8_c2i.pt"),
        "16-t2i": Published(tokenizer="peizesun/llamagen_t2i:vq_ds16_t2i.pt"),
    },
    wrapper="model",
    licence="MIT (most of the code)",
)
