"""ARDM (Hoogeboom et al. 2021, arXiv 2110.02037): one network for all orders, and the best steps for any number of calls.

tokenizer  pixels as they are, so the likelihood is exact
order      uniformly random; drawn in steps that a dynamic program chose for a number of network calls
wiring     mask tokens, all slots see all, each predicts its own site
objective  a bound of the likelihood from one pass with a random number of known sites
New here: orders/budget.py with the program, objectives/any_order.py with what it needs to know.

The paper's networks for images are U-Nets; this one is a transformer, as the paper has it for text. It is not told how many sites are
known: it sees that. A class, rotary positions beside learned ones and wide initial matrices are ours, for small ones that learn within minutes.
"""

from __future__ import annotations

from ..backbones import Transformer
from ..conditions import Label
from ..mixers import BiasedAttention
from ..nn.modulation import Each
from ..objectives import AnyOrder
from ..orders import Budget, Order, Random
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.pixel import Pixel
from ..wirings import Masked


def ardm(depth: int, heads: int, dim: int, image: int, tokenizer: Tokenizer, classes: int, order: Order) -> System:
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
        objective=AnyOrder(),
    )


CHOSEN = (3, 3, 3, 3, 3, 4, 4, 6, 4, 5, 5, 3, 6, 7, 3, 2)  # `policy` for 16 calls, as claims/ardm.py measures its costs
SIZES = {"digits": ardm(3, 4, 64, 8, Pixel(17), 10, Budget(CHOSEN))}
TINY = ardm(2, 2, 16, 4, Pixel(5), 3, Random(3))
