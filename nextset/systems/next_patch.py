"""NPP (Pang et al. 2024, arXiv 2412.15321): a LlamaGen that first learns to write coarse patches of tokens, then tokens.

objective  for half of the training the next 2 x 2 patch: the mean of a patch's embeddings in, one distribution of all its tokens out;
           then the next token. 0.6 of the cost, since a slot stands for four tokens
the rest   LlamaGen's, weights and sampling included; patches are never drawn
New here: objectives/next_patch.py.
"""

from __future__ import annotations

from dataclasses import replace

from ..objectives import NextPatch
from ..system import System
from ..tokenizers.pixel import Pixel
from .llamagen import TINY as LLAMAGEN_TINY
from .llamagen import llamagen


def next_patch(base: System, levels: int = 2) -> System:
    """A LlamaGen trained in so many stages, the last one on tokens."""
    return replace(base, objective=NextPatch(levels))


SIZES = {
    "b": next_patch(llamagen(12, 12, 768)),
    "l": next_patch(llamagen(24, 16, 1024, guidance=1.75)),
    "xl": next_patch(llamagen(36, 20, 1280, guidance=1.7)),
    "xxl": next_patch(llamagen(48, 24, 1536, guidance=1.65)),
    "digits": next_patch(llamagen(4, 4, 96, 8, Pixel(17), 10, guidance=1.5)),
}
TINY = next_patch(LLAMAGEN_TINY)
