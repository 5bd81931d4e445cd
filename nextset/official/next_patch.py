"""The official weights of NPP (Pang et al. 2024, arXiv 2412.15321): LlamaGen's names."""

from __future__ import annotations

from ..family import Arguments, Family, Published
from ..system import System
from ..systems.next_patch import next_patch
from ..tokenizers.base import Tokenizer
from . import llamagen, vq

KEYS = llamagen.KEYS


def read(args: Arguments, tokenizer: Tokenizer | None) -> System:
    """A LlamaGen with another training."""
    return next_patch(llamagen.read(args, tokenizer))


PUBLISHED = {
    size: Published(f"pytttttt/LlamaGen-NPP:c2i_{size.upper()}_256.pt", "FoundationVision/LlamaGen:vq_ds16_c2i.pt")
    for size in ("b", "l", "xl", "xxl")
}
FAMILY = Family(read, lambda spec: KEYS, vq.CODER, PUBLISHED, wrapper="model")
