"""The official weights of the multi-scale BSQ tokenizers of Infinity (Han et al. 2024, arXiv 2412.04431).

Convolutions and norms lie one name deeper than in VQGAN's files (`conv_in.conv.weight`, `norm1.norm.bias`), but not in older files. Beside the nets
there is only a row of powers of two, stored twice, that nothing here needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..family import Arguments, Coder, Published
from ..keymap import KeyMap, Made, Move, State
from ..systems.infinity import F8
from ..tokenizers.bsq import MultiScaleBSQ
from .conv_names import vqgan_names

NETS = "encoder.down", "decoder.up"


def deeper(key: str) -> str:
    """The newer name of a tensor: its norm or convolution is wrapped in a module."""
    module, _, end = key.rpartition(".")
    return f"{module}.{'norm' if 'norm' in module.rpartition('.')[2] else 'conv'}.{end}"


@dataclass(frozen=True)
class Deepened(Move):
    """Older names become the newer ones; they do not come back."""

    first: str = "encoder.conv_in.weight"

    def inward(self, state: State) -> None:
        """Those of both nets, where the first of them says that the file is old."""
        if self.first in state:
            for key in [key for key in state if key.startswith(("encoder.", "decoder."))]:
                state[deeper(key)] = state.pop(key)


def powers(bits: Tensor) -> Tensor:
    """2^(d - 1) .. 1 for a vector of d; the first overflows at 64, as theirs does."""
    return 2 ** torch.arange(len(bits) - 1, -1, -1, device=bits.device)


def keys(spec: MultiScaleBSQ) -> KeyMap:
    """The names, which count levels."""
    names = vqgan_names(len(spec.multipliers))
    own = {ours: deeper(theirs) for ours, theirs in names.items() if isinstance(theirs, str) and "attn" not in theirs}
    masks = (Made(f"{twice}.lfq.mask", "encoder.conv_out.conv.bias", powers) for twice in ("quantizer", "quantize"))
    return KeyMap({**own}, (Deepened(), *masks))


def read(args: Arguments) -> MultiScaleBSQ:
    """Everything is in the shapes but the maps, and how many sites are a token: these the generator knows."""
    old = "encoder.conv_in.weight" in args

    def size(key: str, axis: int = 0) -> int:
        return args.size(key if old else deeper(key), axis)

    width = size("encoder.conv_in.weight")
    levels, rising = (args.count(f"{net}.{{}}.block.0.{'norm1' if old else 'norm1.norm'}.weight") for net in NETS)
    multipliers, rise = (
        tuple(size(f"{net}.{level}.block.0.conv1.weight") // width for level in range(count))
        for net, count in zip(NETS, (levels, rising), strict=True)
    )
    dim = args.seen("codebook_dim", size("encoder.conv_out.weight"))
    args.must("codebook_size", 2**dim, f"2**{dim}")
    args.must("patch_size", 2 ** (levels - 1))
    blocks = args.count(f"encoder.down.0.block.{{}}.{'norm1' if old else 'norm1.norm'}.weight")
    return MultiScaleBSQ(
        dim,
        width=args.seen("base_ch", width),
        multipliers=args.seen("encoder_ch_mult", multipliers),
        blocks=args.seen("num_res_blocks", blocks),
        groups=_groups({width * multiplier for multiplier in (1, *multipliers, *rise)}),
        channels=size("encoder.conv_in.weight", 1),
        rising=() if args.seen("decoder_ch_mult", rise) == multipliers else rise,
    )


def _groups(widths: set[int]) -> int:
    """32 for widths that it divides, else 24; which one is decided a width."""
    found = {32 if width % 32 == 0 else 24 for width in widths}
    if len(found) > 1 or any(width % next(iter(found)) for width in widths):
        raise UsageError(
            f"the official normalisation groups of {sorted(widths)} channels differ or are none; here all nets have one number of them"
        )
    return found.pop()


HOME = "FoundationVision/infinity"
F16 = {f"d{bits}": MultiScaleBSQ(bits) for bits in (16, 24, 32, 64)}
CODER = Coder(
    read,
    keys,
    sizes={**F16, "d32reg": F16["d32"], "f8-d14": F8},
    published={size: Published(tokenizer=f"{HOME}:infinity_vae_{size}.pth") for size in (*F16, "d32reg")}
    | {"f8-d14": Published(tokenizer=f"{HOME}:infinity_vae_d56_f8_14_patchify.pth")},
    wrapper="vae",
    licence="MIT",
)
