"""PAR (Wang et al. 2024, arXiv 2412.15119): a Llama that writes distant tokens at once, since they depend on each other little.

order      the grid in regions: one token of each, one by one; then a token of every region at once, at the same offset in each
wiring     a token's slot predicts the next token of its region; n - 1 learned slots shift the sequence from one at a time to n;
           slots of one step see each other
guidance   constant, by size as in the paper
New here: orders/regions.py and wirings/groups.py; the weights are LlamaGen's and the learned slots.
"""

from __future__ import annotations

from dataclasses import replace

from ..decode import Constant
from ..orders import Regions
from ..system import System
from ..tokenizers.pixel import Pixel
from ..wirings import Groups
from .llamagen import TINY as LLAMAGEN_TINY
from .llamagen import llamagen


def par(base: System, rows: int = 2, columns: int = 2, guidance: float = 1.5) -> System:
    """A LlamaGen that writes `rows` x `columns` regions at once."""
    return replace(base, order=Regions(rows, columns), wiring=Groups(rows * columns), guidance=Constant(guidance))


SIZES = {
    "xl-4x": par(llamagen(36, 20, 1280, 384)),
    "xxl-4x": par(llamagen(48, 24, 1536, 384), guidance=1.435),
    "3b-4x": par(llamagen(24, 32, 3200, 384), guidance=1.345),
    "3b-16x": par(llamagen(24, 32, 3200, 384), 4, 4),
    "digits": par(llamagen(4, 4, 96, image=8, tokenizer=Pixel(17), classes=10)),
}
TINY = par(LLAMAGEN_TINY, columns=1)
