"""NAR (He et al. 2025, arXiv 2503.10696): a picture grows from its corner, every token proposing its right and its lower neighbour.

order      by distance from the corner: the anti-diagonals, each at once, 2 n - 1 steps on an n x n grid
wiring     a slot holds its token, sees all that is no farther from the corner, and predicts both neighbours; where two propose a
           token, their logits are averaged
backbone   LlamaGen's with one more block: the right neighbour is read before it, the lower one after it
head       a matrix for each readout, as one matrix over both
New here: orders/wavefront.py, wirings/neighbours.py and backbones/twofold.py.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Llama, Twofold
from ..orders import Wavefront
from ..system import System
from ..tokenizers.pixel import Pixel
from ..wirings import Neighbours
from .llamagen import TINY as LLAMAGEN_TINY
from .llamagen import captioned, llamagen


def nar(base: System, more: int = 1) -> System:
    """A LlamaGen with `more` blocks, whose second readout predicts the token below."""
    assert isinstance(base.backbone, Llama)
    return replace(base, order=Wavefront(), wiring=Neighbours(), backbone=Twofold(base.backbone, more))


SIZES = {
    "b": nar(llamagen(12, 12, 768)),
    "m": nar(llamagen(18, 16, 1024)),
    "l": nar(llamagen(24, 16, 1024)),
    "xl": nar(llamagen(36, 20, 1280)),
    "xxl": nar(llamagen(48, 24, 1536)),
    "t2i-xl-256": nar(captioned(256)),
    "t2i-xl-512": nar(captioned(512)),
    "digits": nar(llamagen(3, 4, 96, image=8, tokenizer=Pixel(17), classes=10, guidance=1.5)),
}
TINY = nar(LLAMAGEN_TINY)
