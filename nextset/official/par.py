"""The official weights of PAR (Wang et al. 2024, arXiv 2412.15119)."""

from __future__ import annotations

import math

from ..errors import UsageError
from ..family import Arguments, Family, Published
from ..keymap import KeyMap
from ..system import System
from ..systems.par import par
from ..tokenizers.base import Tokenizer
from . import llamagen, vq

BETWEEN = "spe_tok_embeddings.special_embeddings.weight"
KEYS = KeyMap({**llamagen.KEYS.names, "wiring.between": BETWEEN})


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A LlamaGen whose learned slots say how many regions there are."""
    regions = args.seen("spe_token_num", args.size(BETWEEN)) + 1
    args.seen("ar_token_num", regions)
    if math.isqrt(regions) ** 2 != regions:
        raise UsageError(f"{args.source} has {regions} regions, which are no square")
    return par(llamagen.read(args, tokenizer), math.isqrt(regions), math.isqrt(regions))


PUBLISHED = {
    f"{size}-{regions}x": Published(
        f"Epiphqny/PAR:PAR-{size.upper()}-{regions}x.pt", "FoundationVision/LlamaGen:vq_ds16_c2i.pt"
    )
    for size, regions in (("xl", 4), ("xxl", 4), ("3b", 4), ("3b", 16))
}
FAMILY = Family(read, lambda spec: KEYS, vq.CODER, PUBLISHED, wrapper="model")
