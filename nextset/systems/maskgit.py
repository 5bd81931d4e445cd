"""MaskGIT (Chang et al. 2022, arXiv 2202.04200): tokens are guessed under a mask, all at once, and the surest are kept, in few steps.

order      by confidence: after each step fewer sites stay masked, along a curve; trained as any order
wiring     mask tokens, the whole picture encoded anew in every step
backbone   BERT, which normalises after its branches, or a U-ViT; the class is slot 0; small ones a plain transformer
objective  cross entropy of the masked tokens, whose share follows the same curve; seen ones count a tenth; smoothed targets
New here: orders/confidence.py and its engine decode/unmask.py, backbones/bert.py, backbones/uvit.py, tokenizers/maskgit_vq.py.

The sizes titok-* draw the tokens of 1-D tokenizers (TiTok, Yu et al. 2024, arXiv 2406.07550). The confidence of its published generators
is a raw logit.
"""

from __future__ import annotations

from ..backbones import Backbone, Bert, Transformer, UViT
from ..conditions import Label
from ..decode import Constant, CosineRamp, Guidance, Ramp
from ..decode.guidance import from_extra
from ..heads import Categorical
from ..mixers import BiasedAttention
from ..nn.feedforward import MLP
from ..nn.masking import Arccos, Cosine
from ..nn.modulation import Each
from ..objectives import MaskedTokens
from ..orders import Confidence, Order, Random
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.maskgit_vq import MaskGITVQ
from ..tokenizers.pixel import Pixel
from ..tokenizers.proxy_titok import ProxyTiTok
from ..tokenizers.slotted import BASE, LARGE, SMALL, ViT
from ..tokenizers.titok import TiTok
from ..wirings import Masked


def maskgit(
    backbone: Backbone,
    tokenizer: Tokenizer,
    size: tuple[int, int],
    order: Order,
    guidance: Guidance,
    classes: int = 1000,
) -> System:
    """A class-conditional size for images of `size` pixels. Training masks along the curve of the order."""
    return System(
        tokenizer=tokenizer,
        size=size,
        order=order,
        wiring=Masked(),
        backbone=backbone,
        head=Categorical(bias=True, std=0.02, smoothing=0.1),
        condition=Label(classes, 0.1, 0.5, slots=0, vector=True) if backbone.modulated else Label(classes),
        objective=MaskedTokens(order.masking if isinstance(order, Confidence) else Arccos()),
        guidance=guidance,
    )


def falling(noise: float, steps: int) -> Confidence:
    """TiTok's setting: the noise of drawing and that of confidence are one and fall to nothing, while logits get sharper."""
    return Confidence(steps, noise=(noise, 0.0), temperature=(noise, 0.0), divisor=(1.3, 0.5))


def titok(sites: int, vit: ViT) -> ProxyTiTok:
    """A published tokenizer of so many sites."""
    return ProxyTiTok(4096, 12, sites, encoder=vit, decoder=vit)


def small(dim: int, depth: int) -> Transformer:
    """For a CPU: with rotary positions, modulation by the class and wide initial matrices it learns within minutes."""
    mixer = BiasedAttention(4)
    return Transformer(dim, depth, mixer, modulation=Each(), rotary_base=1e4, learned=True, dropout=0.0, std=0.05)


BERT, FEW = Bert(768, 24, BiasedAttention(16)), Confidence(8, noise=(2.0, 0.0))
GRID = MaskGITVQ(256, 16, 16, (1, 2, 2), blocks=1, groups=8)
LINE = TiTok(256, 8, 16, 32, ViT(64, 3, 4, 4, std=0.06), ViT(64, 3, 4, 4, std=0.06), normalise=True)
SIZES = {
    "titok-l-32": maskgit(BERT, titok(32, LARGE), (256, 256), falling(9.5, 8), Ramp(from_extra(4.5))),
    "titok-b-64": maskgit(BERT, titok(64, BASE), (256, 256), falling(11.0, 8), Ramp(from_extra(3.0))),
    "titok-s-128": maskgit(UViT(1024, 20), titok(128, SMALL), (256, 256), falling(2.8, 64), CosineRamp(6.9, 3.0)),
    # the paper's own, of which there are no weights for PyTorch
    "256": maskgit(Bert(768, 24, BiasedAttention(8)), MaskGITVQ(), (256, 256), Confidence(8, Cosine()), Constant(1.0)),
    "digits": maskgit(small(64, 3), Pixel(17), (8, 8), FEW, Constant(1.5), 10),
    "titok-shapes": maskgit(small(128, 6), LINE, (32, 32), FEW, Constant(1.5), 36),
    "shapes": maskgit(small(128, 6), GRID, (32, 32), FEW, Constant(1.5), 36),
}
TINY = maskgit(Bert(16, 2, BiasedAttention(2), MLP(32)), Pixel(5), (4, 4), Random(2), Constant(1.5), 3)
