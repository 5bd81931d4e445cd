"""xAR (Ren et al. 2025, arXiv 2502.20388): the next token is an X, here a cell of latents, which a flow draws as a whole.

tokenizer  MAR's KL-VAE, 16 numbers a site
order      2 x 2 cells, row by row; X may as well be a token, every second site, or the whole image: another order, nothing else
wiring     the noisy cell beside the clean ones before it; both go through one map, and clean slots have noise level 0
backbone   two transformers with a map between them, modulated by class and level, rotary and learned positions
head       the velocity of the flow from noise; the backbone is asked 40 or 50 times a cell
objective  one noisy sequence: a cell sees the earlier ones as noisy as they are, each at a level of its own
New here: the flow in heads/flow.py, and training on noisy context (`Wiring.noised`, objectives/denoising.py).
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Stacked, Transformer
from ..conditions import Label
from ..decode import Linear
from ..heads import Flow
from ..mixers import BiasedAttention
from ..nn.feedforward import GEGLU
from ..nn.flow import EulerMaruyama
from ..nn.modulation import Each
from ..nn.norm import RMS
from ..objectives import NoisyContext
from ..orders import Cells
from ..system import System
from ..tokenizers.kl_vae import KLVAE
from ..tokenizers.patch import Patch
from ..wirings import Beside


def xar(depth: int, heads: int, dim: int, steps: int = 50, guidance: float = 2.2, classes: int = 1000) -> System:
    """Twice `depth` blocks of `dim`; a cell takes `steps` evaluations. Matrices start as wide as Xavier's."""
    stack = Transformer(
        dim,
        depth,
        BiasedAttention(heads),
        GEGLU(),
        norm=RMS(affine=False, eps=1e-6),
        final=RMS(eps=1e-6),
        modulation=Each(round((3.5 * dim) ** -0.5, 4)),
        modulated_end=False,
        rotary_base=10000.0,
        learned=True,
        std=round(dim**-0.5, 4),
    )
    return System(
        tokenizer=KLVAE(),
        size=(256, 256),
        order=Cells(8, 8),
        wiring=Beside(),
        backbone=Stacked(replace(stack, start=RMS(eps=1e-6)), stack),
        head=Flow(EulerMaruyama(steps)),
        condition=Label(classes, slots=0, vector=True),
        objective=NoisyContext(),
        guidance=Linear(guidance),
    )


def dropped(system: System, dropout: float = 0.1) -> System:
    """With dropout as in the official training: between the maps of feed-forwards too, and not on the input."""
    assert isinstance(system.backbone, Stacked)
    stacks = {}
    for name in ("first", "second"):
        stack = getattr(system.backbone, name)
        mlp = replace(stack.feedforward, inner=dropout)
        stacks[name] = replace(stack, feedforward=mlp, dropout=dropout, input_dropout=0.0)
    return replace(system, backbone=Stacked(**stacks))


SIZES = {
    "b": dropped(xar(8, 12, 768, 40, 2.7)),
    "l": dropped(xar(16, 16, 1024, 50, 2.3)),
    "h": dropped(xar(20, 16, 1280, 50, 2.2)),
    "digits": replace(xar(2, 4, 96, 20, 1.5, classes=10), tokenizer=Patch(2), size=(8, 8), order=Cells(2, 2)),
}
TINY = replace(xar(1, 2, 16, 3, classes=3), tokenizer=Patch(2), size=(4, 8), order=Cells(2, 1))
