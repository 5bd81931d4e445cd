"""Infinity (Han et al. 2024, arXiv 2412.04431): next-scale prediction of bits, for pictures of captions in many shapes.

tokenizer  multi-scale BSQ: d signs a site and scale in place of an id of 2^d; the 8B model takes 2 x 2 of them as a token
order      one scale a step, all its sites at once
wiring     as VAR, but resized bilinearly, and with a vector a scale instead of positions
backbone   VAR's, under one AdaLN map, with cross-attention to the caption and rotary positions on the finest map
head       bits are independent given the hidden vector
objective  earlier bits are flipped at random, later scales learn to make that good
guidance   constant
New here: tokenizers/bsq.py and templates.py, heads/independent.py, conditions/attended.py, nn/reading.py, nn/rotary.py's BySpread,
objectives/self_correction.py.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Transformer
from ..conditions import Attended, Condition, Label
from ..decode import Constant, Pick
from ..heads import Independent
from ..mixers import CosineAttention
from ..nn.feedforward import MLP
from ..nn.modulation import Grouped
from ..nn.norm import Layer
from ..nn.places import ScaleTable
from ..nn.reading import Reader
from ..nn.rotary import BySpread
from ..objectives import SelfCorrection
from ..orders import Scales
from ..system import System
from ..tokenizers.bsq import MultiScaleBSQ
from ..tokenizers.templates import FINEST, template
from ..wirings import Upsampled

VAE = MultiScaleBSQ(32)
F8 = MultiScaleBSQ(14, patch=2, multipliers=(1, 2, 4, 4))  # of the 8B model: maps twice as fine, of fewer bits


def infinity(
    depth: int,
    dim: int,
    heads: int,
    tokenizer: MultiScaleBSQ = VAE,
    condition: Condition | None = None,
    hidden: int = 0,
    gate: float = 5e-6,
    finest: tuple[tuple[int, int], ...] = FINEST,
) -> System:
    """A size by its depth, width and heads.

    `condition` is a caption of Flan-T5-XL unless another is given; where nothing is heard of it, as of a class, there is no
    cross-attention. `hidden` is the width of feed-forwards, 4 dim in whole 256s unless it is given. `gate` scales the gates of
    AdaLN at first; `finest` are the maps that positions count on.
    """
    std, plain = (3 * dim) ** -0.5, Layer(affine=False)
    condition = condition or Attended(heads=32 if dim > 4096 else 16, std=std)
    height, width = tokenizer.sides[-1]
    return System(
        tokenizer=tokenizer,
        size=(height * tokenizer.pixels, width * tokenizer.pixels),
        order=Scales(),
        wiring=Upsampled(ScaleTable(15, std), std),
        backbone=Transformer(
            dim,
            depth,
            CosineAttention(heads),
            MLP(hidden or round(dim / 64) * 256, tanh=True),
            norm=plain,
            final=plain,
            modulation=Grouped(1, 1e-3 * std, gate * std),
            rotary_base=10000.0,
            dropout=0.0,
            std=std,
            turning=BySpread(finest),
            reader=Reader(heads, Layer()) if condition.heard else None,
        ),
        head=Independent(std=0.02 * std),
        condition=condition,
        objective=SelfCorrection(),
        guidance=Constant(4.0),
        pick=Pick(temperature=0.5, top_k=900, top_p=0.97),
    )


SMALL = MultiScaleBSQ(8, ((1, 1), (2, 2), (3, 3), (4, 4)), 1, 16, (1, 2), blocks=1, groups=8, channels=1)
SIZES = {
    "125m": infinity(12, 768, 8),
    "350m": infinity(16, 1152, 12),
    "940m": infinity(24, 1536, 16),
    "2b": infinity(32, 2048, 16),
    "2b-layer32": infinity(32, 2080, 20),
    "4b": infinity(40, 2688, 24),
    "7b": infinity(48, 3360, 28),
    "8b": infinity(40, 3584, 28, F8),
    "8b-512": infinity(40, 3584, 28, replace(F8, sides=template(1.0, "0.25M"))),
    "20b": infinity(58, 4608, 36),
    "digits": replace(
        infinity(4, 96, 4, SMALL, Label(10, vector=True), 384, 1e-3, ((4, 4),)), guidance=Constant(1.5), pick=Pick()
    ),
}
BITS = MultiScaleBSQ(3, ((1, 1), (2, 1), (2, 2)), 1, 4, (1,), blocks=1, groups=2, channels=1)
TINY = replace(
    infinity(2, 8, 2, BITS, Attended(6, 4, 2, dropout=0.3), 16, 1e-3, ((4, 4),)), guidance=Constant(1.5), pick=Pick()
)
