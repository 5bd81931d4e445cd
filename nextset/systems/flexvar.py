"""FlexVAR (Jiao et al. 2025, arXiv 2502.20313): next-scale prediction without residuals, so that the scales may change.

tokenizer  one VQ codebook; every scale is the resized latent map, quantised anew, and only the last one is decoded
order      one scale a step; the sides are drawn anew for each training batch
wiring     a slot holds the codes of the scale before, bicubic; positions are one map, resized to every scale
backbone   VAR's
drawing    VAR's guidance, clipped; greedy at unusual sides; other scales and sizes with the same weights: `resized`
New here: tokenizers/scalable.py, `Schedules` in orders/scales.py, `ResizedMap` in nn/places.py, `Clipped` in decode/guidance.py.
"""

from __future__ import annotations

from dataclasses import replace

from ..decode import Clipped, Pick
from ..decode.guidance import from_extra
from ..nn.places import ResizedMap
from ..orders import Schedules
from ..system import System
from ..tokenizers.scalable import ScalableVQ
from ..tokenizers.vq import VQ
from ..wirings import Upsampled
from .var import SIDES, var

VAE = ScalableVQ(VQ(8912, 32), SIDES)
USUAL = Schedules()


def flexvar(
    base: System, tokenizer: ScalableVQ = VAE, order: Schedules = USUAL, map_side: int = 32, extra: float = 2.5
) -> System:
    """A VAR whose scales are whole quantisations, and may be any. `extra` is what it adds of c - u at the usual last scale."""
    side, std = tokenizer.sides[-1] * tokenizer.base.stride, (3 * base.backbone.width) ** -0.5
    return replace(
        base,
        tokenizer=tokenizer,
        size=(side, side),
        order=order,
        wiring=Upsampled(ResizedMap(map_side), std),
        guidance=Clipped(from_extra(extra)),
        pick=Pick(top_k=900, top_p=0.95, sizes=tuple(side * side for side in tokenizer.sides)),
    )


def resized(system: System, *sides: int) -> System:
    """The same weights with other scales, and so pictures of the size of the last."""
    assert isinstance(system.tokenizer, ScalableVQ)
    side = sides[-1] * system.tokenizer.base.stride
    return replace(system, tokenizer=replace(system.tokenizer, sides=sides), size=(side, side))


DIGITS = ScalableVQ(VQ(64, 8, 16, (1,), blocks=1, latent=16, groups=8, channels=1), (1, 2, 4, 6, 8))
SIZES = {
    "d16": flexvar(var(16)),
    "d20": flexvar(var(20)),
    "d24": flexvar(var(24)),
    "digits": flexvar(
        var(3, classes=10, head=16, heads=4), DIGITS, Schedules((1,), ((2, 7, 3),), 0.2, (0.3, 0.2, 0.1), 0), 8
    ),
}
TINY = flexvar(
    var(2, classes=3, head=4, heads=2),
    ScalableVQ(VQ(8, 4, 4, (1,), blocks=1, latent=4, groups=2, channels=1), (1, 2, 4)),
    Schedules((1,), ((2, 3, 1),), 0.5, (), 0),
    map_side=4,
    extra=0.5,
)
