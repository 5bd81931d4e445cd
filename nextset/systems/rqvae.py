"""RQ-Transformer on an RQ-VAE (Lee et al. 2022, arXiv 2203.01941): few sites, a stack of residual codes at each.

tokenizer  8 x 8 sites of 4 codes of one codebook, each code of what the ones before it leave
order      raster over sites, then depth inside a site
wiring     a slot is its site's position and the sum of its codes, in the tokenizer's own vectors
backbone   pre-norm GPT without a norm at its end
head       a small transformer over depth, whose context is the partial sum of the site's codes so far
condition  a class, or a caption, as words with positions; published ones never learned to do without, so they are not guided
New here: tokenizers/rq.py, wirings/coded.py, heads/depth.py, conditions/words.py.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Transformer
from ..conditions import Condition, Label, Words
from ..decode import Constant, Pick
from ..heads import DepthTransformer
from ..mixers import BiasedAttention
from ..nn.norm import Layer
from ..objectives import Captioned
from ..system import System
from ..tokenizers.rq import RQ
from ..wirings import Coded

RQ8, CLASS, FREE, NUCLEUS = RQ(16384), Words(1000, dropout=None), Words(1, dropout=None), Pick(top_p=0.92)
SMALL = RQ(16, 16, 3, 16, (1, 2), blocks=1, latent=16, groups=8, channels=1)


def rqvae(
    depth: int,
    heads: int,
    dim: int,
    head_depth: int = 4,
    tokenizer: RQ = RQ8,
    image: int = 256,
    condition: Condition = CLASS,
    pick: Pick = NUCLEUS,
) -> System:
    """A size by layers, heads and width of the transformer over sites, and the layers of the one over depth."""
    return System(
        tokenizer=tokenizer,
        size=(image, image),
        wiring=Coded(),
        backbone=Transformer(dim, depth, BiasedAttention(heads), norm=Layer(eps=1e-5), final=None),
        head=DepthTransformer(head_depth, BiasedAttention(heads)),
        condition=condition,
        pick=pick,
    )


def dropped(system: System, dropout: float = 0.1) -> System:
    """With dropout as in the official training: of what blocks add alone, not of their input or of attention weights."""
    assert isinstance(system.backbone, Transformer)
    assert isinstance(system.head, DepthTransformer)
    bare = [replace(part.mixer, weights=0.0) for part in (system.backbone, system.head)]  # type: ignore[call-arg]
    return replace(
        system,
        backbone=replace(system.backbone, mixer=bare[0], dropout=dropout, input_dropout=0.0),
        head=replace(system.head, mixer=bare[1], dropout=dropout),
    )


SIZES = {
    "480m": dropped(rqvae(12, 24, 1536)),
    "821m": dropped(rqvae(24, 24, 1536)),
    "1.4b": dropped(rqvae(42, 24, 1536, 6)),
    "3.8b": dropped(rqvae(42, 40, 2560, 6)),
    "ffhq": dropped(rqvae(24, 16, 1024, tokenizer=RQ(2048, attention=(-2,)), condition=FREE, pick=Pick(top_k=250))),
    "church": dropped(rqvae(24, 16, 1024, condition=FREE)),
    "cat": dropped(rqvae(26, 20, 1280, condition=FREE)),
    "bedroom": dropped(rqvae(26, 20, 1280, condition=FREE)),
    "cc3m": replace(
        dropped(rqvae(26, 20, 1280, condition=Words(16384, 32, None, predicted=True))), objective=Captioned()
    ),
    "digits": replace(rqvae(4, 4, 96, 2, SMALL, 8, Label(10), Pick()), guidance=Constant(1.5)),
}
TINY = rqvae(2, 2, 16, 1, RQ(5, 4, 2, 4, (1, 2), 1, latent=4, groups=2, channels=1), 4, Label(3), Pick())
