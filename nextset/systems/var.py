"""VAR (Tian et al. 2024, arXiv 2404.02905): next-scale prediction, whole token maps from 1x1 to the full size.

tokenizer  residual VQ over scales, one codebook; every scale adds to a running reconstruction
order      one scale a step, all its sites at once
wiring     a slot holds the running reconstruction at its own scale, and sees its scale and coarser ones
backbone   transformer under AdaLN by the class (one map a block, or one for all), cosine attention
guidance   rises over the scales from none
New here: tokenizers/multiscale.py, orders/scales.py, wirings/upsampled.py with nn/places.py, mixers/cosine.py.
"""

from __future__ import annotations

import math

from ..backbones import Transformer
from ..conditions import Label
from ..decode import Linear, Pick
from ..decode.guidance import from_extra
from ..heads import Categorical
from ..mixers import CosineAttention
from ..nn.feedforward import MLP
from ..nn.modulation import Each, Grouped
from ..nn.norm import Layer
from ..nn.places import SiteTable
from ..orders import Scales
from ..system import System
from ..tokenizers.multiscale import MultiScaleVQ
from ..wirings import Upsampled

SIDES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
VAE = MultiScaleVQ(4096, 32, SIDES)
GATES = (20, 1e-3), (24, 1e-4), (30, 1e-5), (math.inf, 5e-6)  # up to how many blocks, and how low gates start


def var(
    depth: int,
    tokenizer: MultiScaleVQ = VAE,
    classes: int = 1000,
    head: int = 64,
    heads: int = 0,
    shared: bool = False,
) -> System:
    """A size by its depth and its `heads` (0: as many) of width `head`; `shared`: one AdaLN map. The deeper, the lower gates start."""
    heads, gate = heads or depth, next(gate for most, gate in GATES if depth <= most)
    std, side, plain = (3 * head * heads) ** -0.5, tokenizer.sides[-1] * tokenizer.stride, Layer(affine=False)
    adaln = Grouped(1, std / 2, std * gate) if shared else Each(std / 2, std * gate)
    attention, mlp = CosineAttention(heads), MLP(tanh=True)
    return System(
        tokenizer=tokenizer,
        size=(side, side),
        order=Scales(),
        wiring=Upsampled(SiteTable(std), std),
        backbone=Transformer(head * heads, depth, attention, mlp, plain, plain, adaln, dropout=0.0, std=std),
        head=Categorical(bias=True, std=0.02 * std),
        condition=Label(classes, std=std, slots=tokenizer.sides[0] ** 2, vector=True),
        guidance=Linear(from_extra(1.5)),
        pick=Pick(top_k=900, top_p=0.96),
    )


SMALL = MultiScaleVQ(64, 8, (1, 2, 3, 4), 16, (1, 2), blocks=1, groups=8, channels=1)
SIZES = {
    "d16": var(16),
    "d20": var(20),
    "d24": var(24),
    "d30": var(30),
    "d36": var(36, MultiScaleVQ(4096, 32, (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)), shared=True),
    "digits": var(4, SMALL, 10, 24),
}
TINY = var(2, MultiScaleVQ(8, 4, (1, 2, 4), 4, (1,), blocks=1, groups=2, channels=1, phis=2), 3, 8)
