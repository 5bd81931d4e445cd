"""MD4 (Shi et al. 2024, arXiv 2406.04329): masked diffusion, simplified to a weighted cross entropy that is the same for all schedules.

tokenizer  pixels as they are, so the likelihood is exact
order      each site is unmasked at a random time of its own, on a grid of times; trained and judged as any order
wiring     mask tokens, all slots see all, each predicts its own site
backbone   transformer whose blocks the class modulates (AdaLN-zero); time is left out, as the best prediction does not depend on it
objective  m'/m times the cross entropy of masked sites
New here: orders/unmasking.py, objectives/masked_diffusion.py, and the schedules of nn/masking.py.

For images the paper has a U-Net, around such a transformer for ImageNet 64; the transformer alone is its network for text.
"""

from __future__ import annotations

from ..backbones import Transformer
from ..conditions import Label
from ..mixers import BiasedAttention
from ..nn.masking import Cosine
from ..nn.modulation import Each
from ..objectives import MaskedDiffusion
from ..orders import Order, Random, Unmasking
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.pixel import Pixel
from ..wirings import Masked


def md4(
    depth: int,
    heads: int,
    dim: int,
    image: int,
    tokenizer: Tokenizer,
    classes: int,
    order: Order,
) -> System:
    """A size by layers, heads and width, for images of `image` pixels a side."""
    return System(
        tokenizer=tokenizer,
        size=(image, image),
        order=order,
        wiring=Masked(),
        backbone=Transformer(
            dim,
            depth,
            BiasedAttention(heads),
            modulation=Each(),
            rotary_base=10000.0,
            learned=True,
            dropout=0.0,
            std=0.05,
        ),
        condition=Label(classes, 0.1, 0.5, slots=0, vector=True),
        objective=MaskedDiffusion(),
    )


SIZES = {"digits": md4(3, 4, 64, 8, Pixel(17), 10, Unmasking(32, grid=Cosine()))}
TINY = md4(2, 2, 16, 4, Pixel(5), 3, Random(2))
