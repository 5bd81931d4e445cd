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

from dataclasses import replace

from ..nn.masking import Cosine
from ..objectives import MaskedDiffusion
from ..orders import Order, Random, Unmasking
from ..system import System
from .ardm import SIZES as ARDM
from .ardm import TINY as ARDM_TINY


def md4(base: System, order: Order) -> System:
    """An ARDM that is trained as masked diffusion, and drawn in `order`."""
    return replace(base, order=order, objective=MaskedDiffusion())


SIZES = {"digits": md4(ARDM["digits"], Unmasking(32, grid=Cosine()))}
TINY = md4(ARDM_TINY, Random(2))
