"""RAR (Yu et al. 2024, arXiv 2411.00776): trained in random orders that give way to the raster, then drawn in raster.

order      a random permutation a sample with probability r, else the raster; r is 1 for half of the training, linearly 0 at 3/4
wiring     shift, with a second table of positions for the site that a slot predicts, and a start slot before the class
backbone   transformer with AdaLN-zero and normalised queries and keys; each slot's vector is the class and a learned step
guidance   1 at first, growing with the power of a cosine; so scales of 16 are usual
New here: orders/annealed.py, wirings/targeted.py, wirings/stepped.py.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Transformer
from ..conditions import Label
from ..decode import Pick, PowerCosine
from ..heads import Categorical
from ..mixers import BiasedAttention
from ..nn.feedforward import MLP
from ..nn.modulation import Each
from ..nn.norm import Layer
from ..orders import Annealed
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.maskgit_vq import MaskGITVQ
from ..tokenizers.pixel import Pixel
from ..wirings import Stepped, Targeted

MASKGIT = MaskGITVQ()
DROPOUT = 0.1


def rar(
    depth: int,
    heads: int,
    dim: int,
    hidden: int = 0,
    image: int = 256,
    tokenizer: Tokenizer = MASKGIT,
    classes: int = 1000,
) -> System:
    """A size by layers, heads, width, and inner width of the feed-forward (0: four times the width), not yet guided."""
    return System(
        tokenizer=tokenizer,
        size=(image, image),
        order=Annealed(),
        wiring=Stepped(Targeted()),
        backbone=Transformer(
            dim,
            depth,
            BiasedAttention(heads, Layer()),
            MLP(hidden, inner=DROPOUT),
            final=Layer(affine=False),
            modulation=Each(),
            dropout=DROPOUT,
            input_dropout=0.0,
        ),
        head=Categorical(bias=True, std=0.02),
        condition=Label(classes, vector=True),
    )


def drawn(system: System, guidance: float, power: float, temperature: float = 1.02) -> System:
    """The system, drawn as the official script draws that size."""
    return replace(system, guidance=PowerCosine(guidance, power), pick=Pick(temperature))


SIZES = {
    "b": drawn(rar(24, 16, 768), 16.0, 2.75, 1.0),
    "l": drawn(rar(24, 16, 1024), 15.5, 2.5),
    "xl": drawn(rar(32, 16, 1280), 6.9, 1.5),
    "xxl": drawn(rar(40, 16, 1408, 6144), 8.0, 1.2),
    "digits": drawn(rar(4, 4, 96, image=8, tokenizer=Pixel(17), classes=10), 3.0, 1.0, 1.0),
}
TINY = drawn(rar(2, 2, 16, image=4, tokenizer=Pixel(5), classes=3), 3.0, 1.0, 1.0)
