"""AiM (Li et al. 2024, arXiv 2408.12245): VQ tokens row by row through Mamba-2, without any attention.

wiring     the slot of the class predicts the first token, each token's slot the next one
backbone   Mamba-2 mixers alone, no feed-forward; learned positions; the class shifts, scales and gates every mixer (AdaLN), by a map
           a layer in the smallest size, by four maps in turn and a table a layer in the others
head       tied to the table of tokens, after two norms, of which the second is modulated
New here: mixers/mamba2.py, so the cache is a state of fixed size, however many tokens there are.

The released code gives token i the position i in training but i + 1 in drawing. Here it is i in both, as the weights were trained.
"""

from __future__ import annotations

from ..backbones import Transformer
from ..conditions import Label
from ..decode import Constant, Pick
from ..heads import Tied
from ..mixers import Mamba2
from ..nn.modulation import Each, Grouped, Modulation
from ..nn.norm import RMS, Chain
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.pixel import Pixel
from .llamagen import VQ16

MIXER, GROUPS = Mamba2(), Grouped(4)
SMALL = Mamba2(state_dim=16, head_dim=32, chunk=16)


def aim(
    dim: int,
    depth: int,
    modulation: Modulation = GROUPS,
    mixer: Mamba2 = MIXER,
    image: int = 256,
    tokenizer: Tokenizer = VQ16,
    classes: int = 1000,
) -> System:
    """A size by width and layers."""
    return System(
        tokenizer=tokenizer,
        size=(image, image),
        condition=Label(classes, vector=True),
        backbone=Transformer(
            dim,
            depth,
            mixer,
            feedforward=None,
            norm=RMS(),
            final=Chain((RMS(), RMS())),
            modulation=modulation,
            learned=True,
            dropout=0.0,
            std=round((3 * dim) ** -0.5, 4),
        ),
        head=Tied(),
        guidance=Constant(5.0),
        pick=Pick(top_k=600, top_p=0.98),
    )


SIZES = {
    "b": aim(768, 24, Each()),
    "l": aim(1024, 48),
    "xl": aim(1536, 48),
    "digits": aim(96, 5, Grouped(2), SMALL, image=8, tokenizer=Pixel(17), classes=10),  # for a CPU
}
TINY = aim(16, 2, Grouped(2), Mamba2(4, 8, chunk=3), image=4, tokenizer=Pixel(5), classes=3)
