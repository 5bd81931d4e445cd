"""RandAR (Pang et al. 2024, arXiv 2412.01827): a causal Llama that writes VQ tokens in any order, several at once.

order      uniformly random in training, one site a step; drawn in 88 steps on a cosine, and given sites first in edits
wiring     before each token an instruction: one shared vector turned by the rotary position of the site that comes next
backbone   LlamaGen's, rotary rows of zeros for the class included; token and instruction of a site share its position
guidance   grows with the share of known sites
New here: wirings/instructions.py and the slots that are asked twice (`until` in slots.py); the weights are LlamaGen's and one vector.
"""

from __future__ import annotations

from ..backbones import Llama
from ..conditions import Label
from ..decode import Proportional
from ..mixers import Attention
from ..orders import Random
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.pixel import Pixel
from ..weights import KeyMap
from ..wirings import Instructions
from .llamagen import KEYS as LLAMAGEN
from .llamagen import VQ16


def randar(
    depth: int,
    heads: int,
    dim: int,
    image: int = 256,
    tokenizer: Tokenizer = VQ16,
    classes: int = 1000,
    steps: int = 88,
    guidance: float = 4.0,
) -> System:
    """A size of the paper by layers, heads and width; `image` pixels square, drawn in `steps` (0: one site each)."""
    return System(
        tokenizer=tokenizer,
        size=(image, image),
        order=Random(steps),
        wiring=Instructions(heads),
        condition=Label(classes),
        backbone=Llama(dim, depth, Attention(heads), hidden_multiple=16 if dim < 64 else 256),
        guidance=Proportional(guidance),
    )


SIZES = {
    "l": randar(24, 16, 1024, guidance=3.4),
    "xl": randar(36, 20, 1280),
    "xxl": randar(48, 24, 1536),
    "digits": randar(4, 4, 96, image=8, tokenizer=Pixel(17), classes=10, steps=22, guidance=2.0),
}
TINY = randar(2, 2, 16, image=4, tokenizer=Pixel(5), classes=3, steps=0)

PUBLISHED = {
    "l": ("randar_0.3b_llamagen_360k_bs_1024_lr_0.0004.safetensors",),
    "xl": ("randar_0.7b_llamagen_360k_bs_1024_lr_0.0004.safetensors",),
}

KEYS = KeyMap({**LLAMAGEN.names, "wiring.ask": "pos_instruct_embeddings"})
