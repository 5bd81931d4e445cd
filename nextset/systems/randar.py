"""RandAR (Pang et al. 2024, arXiv 2412.01827): a causal Llama that writes VQ tokens in any order, several at once.

order      uniformly random in training, one site a step; drawn in 88 steps on a cosine, and given sites first in edits
wiring     before each token an instruction: one shared vector turned by the rotary position of the site that comes next
backbone   LlamaGen's, rotary rows of zeros for the class included; token and instruction of a site share its position
guidance   grows with the share of known sites
New here: wirings/instructions.py and the slots that are asked twice (`until` in slots.py); the weights are LlamaGen's and one vector.
"""

from __future__ import annotations

from dataclasses import replace

from ..decode import Proportional
from ..orders import Random
from ..system import System
from ..tokenizers.maskgit_vq import MaskGITVQ
from ..tokenizers.pixel import Pixel
from ..wirings import Instructions
from .llamagen import TINY as LLAMAGEN_TINY
from .llamagen import llamagen


def randar(base: System, heads: int, steps: int = 88, guidance: float = 4.0, rotary_base: float = 1e4) -> System:
    """A LlamaGen of `heads` that goes in any order, drawn in `steps` (0: one site each)."""
    wiring = Instructions(heads, rotary_base)
    return replace(base, order=Random(steps), wiring=wiring, guidance=Proportional(guidance))


SIZES = {
    "l": randar(llamagen(24, 16, 1024), 16, guidance=3.4),
    "xl": randar(llamagen(36, 20, 1280), 20),
    "xxl": randar(llamagen(48, 24, 1536), 24),
    "l-maskgit": randar(llamagen(24, 16, 1024, tokenizer=MaskGITVQ()), 16),  # the same on the tokens of MaskGIT
    "digits": randar(llamagen(4, 4, 96, image=8, tokenizer=Pixel(17), classes=10), 4, steps=22, guidance=2.0),
}
TINY = randar(LLAMAGEN_TINY, 2, steps=0)
