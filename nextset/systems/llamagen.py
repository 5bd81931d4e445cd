"""LlamaGen (Sun et al. 2024, arXiv 2406.06525): a plain Llama that writes VQ tokens row by row.

wiring     the class slot predicts the first token, each token's slot the next one; a slot sits at its own token's site
backbone   Llama with 2-D rotary positions; condition slots get zero rows, so they are attended to with logit 0
head       linear, without bias, zero at first: training starts from the uniform distribution
New here: nothing but the composition; it is the baseline that most later systems change in one place.
"""

from __future__ import annotations

from ..backbones import Llama
from ..conditions import Label
from ..decode import Constant
from ..mixers import Attention
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.pixel import Pixel
from ..tokenizers.vq import VQ
from ..weights import KeyMap

VQ16 = VQ(16384, 8)


def llamagen(
    depth: int,
    heads: int,
    dim: int,
    image: int = 256,
    tokenizer: Tokenizer = VQ16,
    classes: int = 1000,
    dropout: float = 0.1,
    hidden_multiple: int = 256,
) -> System:
    """A size of the paper by layers, heads and width; `image` pixels square (384 is the recipe of the larger models)."""
    return System(
        tokenizer=tokenizer,
        size=(image, image),
        condition=Label(classes),
        backbone=Llama(dim, depth, Attention(heads), dropout=dropout, hidden_multiple=hidden_multiple),
        guidance=Constant(1.0),
    )


SIZES = {
    "b": llamagen(12, 12, 768),
    "l": llamagen(24, 16, 1024),
    "b-384": llamagen(12, 12, 768, image=384),
    "l-384": llamagen(24, 16, 1024, image=384),
    "xl-384": llamagen(36, 20, 1280, image=384),
    "xxl-384": llamagen(48, 24, 1536, image=384),
    "3b-384": llamagen(24, 32, 3200, image=384),
    "digits": llamagen(4, 4, 96, image=8, tokenizer=Pixel(17), classes=10),
}
TINY = llamagen(2, 2, 16, image=4, tokenizer=Pixel(5), classes=3, hidden_multiple=16)

KEYS = KeyMap(
    {
        "condition.embed.weight": "cls_embedding.embedding_table.weight",
        "wiring.embed.weight": "tok_embeddings.weight",
        "backbone.blocks.{}.mixer_norm.weight": "layers.{}.attention_norm.weight",
        "backbone.blocks.{}.mixer.qkv.weight": "layers.{}.attention.wqkv.weight",
        "backbone.blocks.{}.mixer.out.weight": "layers.{}.attention.wo.weight",
        "backbone.blocks.{}.feedforward_norm.weight": "layers.{}.ffn_norm.weight",
        "backbone.blocks.{}.feedforward.rise.weight": (
            "layers.{}.feed_forward.w1.weight",
            "layers.{}.feed_forward.w3.weight",
        ),
        "backbone.blocks.{}.feedforward.fall.weight": "layers.{}.feed_forward.w2.weight",
        "backbone.norm.weight": "norm.weight",
        "head.project.weight": "output.weight",
    }
)
