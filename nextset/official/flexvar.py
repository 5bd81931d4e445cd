"""The official weights of FlexVAR (Jiao et al. 2025, arXiv 2502.20313)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import UsageError
from ..family import Arguments, Coder, Family, Published
from ..keymap import KeyMap, Made, Squeezed, Within
from ..system import System
from ..systems.flexvar import flexvar
from ..systems.var import SIDES
from ..tokenizers.base import Tokenizer
from ..tokenizers.scalable import ScalableVQ
from . import vq
from .var import NO_KEY_BIAS, SHARED, belongs, mask, sized

VAE_KEYS = Within(vq.KEYS, "vq.")


def keys(system: System) -> KeyMap:
    """With the mask of the system's scales, which their files hold, of any scales, and nobody reads."""

    def usual(anything: Tensor) -> Tensor:
        ends = torch.tensor(system.layout.ends, device=anything.device)
        return mask(
            torch.searchsorted(ends, torch.arange(system.layout.sites, device=anything.device), right=True)[None]
        )

    return KeyMap(
        {**SHARED, "wiring.places.map": Squeezed("pos_1LC", (0,))},
        (NO_KEY_BIAS, Made("attn_bias_for_masking", "word_embed.bias", usual)),
    )


def read_tokenizer(args: Arguments) -> ScalableVQ:
    """LlamaGen's tokenizer at any sides; the usual ones where nobody says others."""
    return ScalableVQ(vq.read(args.without("patch_nums")), args.asked("patch_nums", SIDES))


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A size; its scales are a choice, and those of its tokenizer where nobody says others. Its dropout of tokens is never applied."""
    if not isinstance(tokenizer, ScalableVQ):
        raise UsageError(f"{args.source} computes with the code vectors of a tokenizer ScalableVQ, not of {tokenizer}")
    belongs(args, tokenizer.unit.vocab, tokenizer.base.dim)
    sides = args.asked("patch_nums", tokenizer.sides)
    return flexvar(sized(args), ScalableVQ(tokenizer.base, sides), map_side=args.size("pos_1LC", -1))


HOME = "jiaosiyu1999/FlexVAR"
PUBLISHED = {
    size: Published(f"{HOME}:FlexVAR{size}-epo{epoch}.pth", f"{HOME}:FlexVAE.pth")
    for size, epoch in (("d16", 179), ("d20", 249), ("d24", 349))
}
CODER = Coder(read_tokenizer, lambda spec: VAE_KEYS, wrapper="model", licence="MIT")
FAMILY = Family(read, keys, CODER, PUBLISHED, alone=False, licence="MIT")
