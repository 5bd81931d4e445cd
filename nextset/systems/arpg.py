"""ARPG (Li et al. 2025, arXiv 2503.10568): what is known is a memory, and any sites can be asked of it at once.

order      uniformly random in training, one site a step; drawn in 64 steps, on a cosine or on an arccos; given sites first in edits
wiring     queries (one vector, turned to the site that is asked for) over a memory of the class and the known tokens
backbone   half the layers compute the memory, the other half let queries read it through one shared pair of keys and values
guidance   constant, or growing with the known sites, those of the step itself included
New here: wirings/queries.py, backbones/two_pass.py and the two schedules. In training tokens are remembered in causal order; the
released sampler lets those of one step see each other (`Mutual`), and draws one order for the whole batch, where ours are each
sample's own.
"""

from __future__ import annotations

from ..backbones import TwoPass
from ..conditions import Label
from ..decode import Proportional
from ..mixers import Attention
from ..nn.masking import Cosine
from ..orders import Falling, Random
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.pixel import Pixel
from ..wirings import Mutual, Queries
from .llamagen import VQ16


def arpg(
    depth: int,
    heads: int,
    dim: int,
    guidance: float,
    steps: int = 64,
    image: int = 256,
    tokenizer: Tokenizer = VQ16,
    classes: int = 1000,
) -> System:
    """A size by layers (of both halves together), heads and width; `guidance` is the scale at the end, `steps` 0 one site each."""
    return System(
        tokenizer=tokenizer,
        size=(image, image),
        order=Random(steps, Falling(Cosine())),
        wiring=Queries(Mutual()),
        condition=Label(classes),
        backbone=TwoPass(dim, depth, Attention(heads), heads, hidden_multiple=min(dim, 256)),
        guidance=Proportional(guidance, after=True),
    )


SIZES = {  # guidance and schedule are those of the published table
    "l": arpg(24, 16, 1024, 4.5),
    "xl": arpg(36, 20, 1280, 6.0),
    "xxl": arpg(48, 24, 1536, 7.5),
    "digits": arpg(4, 4, 96, 2.0, 16, image=8, tokenizer=Pixel(17), classes=10),  # for a CPU
}
TINY = arpg(2, 2, 16, 2.0, 0, image=4, tokenizer=Pixel(5), classes=3)
