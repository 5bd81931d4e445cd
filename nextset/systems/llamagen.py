"""LlamaGen (Sun et al. 2024, arXiv 2406.06525): a plain Llama that writes VQ tokens row by row.

wiring     the last condition slot predicts the first token, each token's slot the next one; a slot sits at its own token's site
backbone   Llama with 2-D rotary positions; condition slots get zero rows, so they are attended to with logit 0
head       linear, without bias, zero at first: training starts from the uniform distribution
condition  a class in one slot, Flan-T5-XL features of a caption in 120, or the words of one in 16
New here: nothing but the composition; it is the baseline that most later systems change in one place.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Llama
from ..conditions import Captions, Label, Text
from ..data.shapes.words import WORDS
from ..decode import Constant, Pick
from ..mixers import Attention
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.pixel import Pixel
from ..tokenizers.vq import VQ

VQ16 = VQ(16384, 8)
VQ_SHAPES = VQ(256, 8, 16, (1, 2, 2), blocks=1, latent=32, groups=8)


def llamagen(
    depth: int,
    heads: int,
    dim: int,
    image: int = 256,
    tokenizer: Tokenizer = VQ16,
    classes: int = 1000,
    guidance: float = 2.0,
    hidden_multiple: int = 256,
) -> System:
    """A class-conditional size by layers, heads and width, for images of `image` pixels a side.

    `guidance` is the scale of the paper's best FID; sizes that it does not report take that of the nearest one.
    """
    return System(
        tokenizer=tokenizer,
        size=(image, image),
        condition=Label(classes),
        backbone=Llama(dim, depth, Attention(heads), hidden_multiple=hidden_multiple),
        guidance=Constant(guidance),
    )


def captioned(image: int) -> System:
    """The size that reads captions, sampled as the official script does."""
    return replace(llamagen(36, 20, 1280, image, guidance=7.5), condition=Text(), pick=Pick(top_k=1000))


def followed(depth: int, heads: int, dim: int) -> System:
    """A size for captions of the world of shapes; without dropout, as it has far more to learn than it could remember."""
    base = llamagen(depth, heads, dim, 32, VQ_SHAPES, guidance=3.0)
    backbone = Llama(dim, depth, Attention(heads), dropout=0.0)
    return replace(base, backbone=backbone, condition=Captions(WORDS, 16), pick=Pick(top_k=5))


SIZES = {
    "b": llamagen(12, 12, 768),
    "l": llamagen(24, 16, 1024),
    "b-384": llamagen(12, 12, 768, 384),
    "l-384": llamagen(24, 16, 1024, 384),
    "xl-384": llamagen(36, 20, 1280, 384, guidance=1.75),
    "xxl-384": llamagen(48, 24, 1536, 384, guidance=1.75),
    "3b-384": llamagen(24, 32, 3200, 384, guidance=1.65),
    "t2i-xl-256": captioned(256),
    "t2i-xl-512": captioned(512),
    # in the official code, without weights
    "1b": llamagen(22, 32, 2048, guidance=1.75),
    "xxxl": llamagen(48, 40, 2560, guidance=1.65),
    "7b": llamagen(32, 32, 4096, guidance=1.65),
    # for a CPU; of 1, 1.5, 2 and 3 the scale 1.5 has the best Frechet distance on digits
    "digits": llamagen(4, 4, 96, 8, Pixel(17), 10, guidance=1.5),
    "shapes": llamagen(6, 4, 128, 32, VQ_SHAPES, 36, guidance=1.5),
    "t2i-shapes": followed(4, 4, 128),
}
TINY = llamagen(2, 2, 16, image=4, tokenizer=Pixel(5), classes=3, hidden_multiple=16)
