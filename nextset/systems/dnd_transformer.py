"""DnD-Transformer (Chen et al. 2024, arXiv 2410.01912): residual codes predicted along the depth of one LlamaGen.

tokenizer  RQ-VAE, so a site holds several codes, coarse to fine
order      raster over sites; inside a site its codes, in the one pass that the site takes
wiring     a token is the sum of its codes in one table; a code that was read is added to the stream, from the same table
backbone   LlamaGen's, read after chosen layers
head       a norm and a matrix a code, the matrices zero at first
New here: backbones/readouts.py, wirings/injected.py, heads/staged.py; the tokenizer and its key map are systems/rqvae.py's.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Llama, Readouts
from ..conditions import Condition, Label, Unconditional
from ..decode import Constant, Pick
from ..heads import Staged
from ..mixers import Attention
from ..system import System
from ..tokenizers.rq import RQ
from ..wirings import Injected

RQ16 = RQ(16384, codes=2, multipliers=(1, 1, 2, 2, 4))


def dnd(
    heads: int,
    dim: int,
    reads: tuple[int, ...],
    tokenizer: RQ = RQ16,
    image: int = 256,
    condition: Condition = Label(1000),  # noqa: B008
    hidden_multiple: int = 256,
) -> System:
    """A size by heads, width, and the layers after which a code is read, of which the last is the last of all."""
    return System(
        tokenizer=tokenizer,
        size=(image, image),
        wiring=Injected(),
        backbone=Readouts(Llama(dim, reads[-1] + 1, Attention(heads), hidden_multiple=hidden_multiple), reads),
        head=Staged(),
        condition=condition,
    )


EIGHT = (26, 29, 32, 35, 38, 41, 44, 47)
SMALL = RQ(
    64, 4, 2, 16, (1, 2), blocks=1, latent=16, groups=8, channels=1
)  # few dimensions: codes depend on each other
FREE, COLD = Unconditional(), Pick(temperature=0.1)

SIZES = {
    "xxl": replace(dnd(24, 1536, (39, 47)), guidance=Constant(2.0)),
    "xxxl": replace(dnd(32, 2048, (39, 47)), guidance=Constant(1.7)),
    "text": replace(dnd(24, 1536, (47,), replace(RQ16, vocab=4096, codes=1), 384, FREE), pick=COLD),
    "arxiv": replace(dnd(24, 1536, EIGHT, replace(RQ16, codes=8), condition=FREE), pick=COLD),
    "digits": replace(dnd(4, 96, (1, 3), SMALL, 8, Label(10)), guidance=Constant(1.5)),
}
TINY = dnd(2, 16, (0, 1), RQ(5, 4, 2, 4, (1, 2), 1, latent=4, groups=2, channels=1), 4, Label(3), 16)
