"""ACDiT (Hu et al. 2024, arXiv 2412.07720): blocks of latents one after the other, each denoised by one DiT that sees the clean past.

tokenizer  a KL-VAE, 4 numbers for 8 x 8 pixels
order      square blocks, row by row: one site a block is next-token prediction, one block a plain diffusion model
wiring     [clean blocks | noisy blocks] under the skip-causal mask; only noisy slots are told the class and the noise level
backbone   DiT with RMS norms, of queries and keys too, and rotary positions, which both copies of a block share
head       the noise, on DDPM's linear schedule; 25 steps of DPM-Solver++ a block
objective  every block at a noise level of its own, earlier ones clean
New here: the mask in wirings/beside.py, and the head in heads/epsilon.py.

Rotary positions turn each axis by itself. The official ones mix the axes within a pair of channels, so its weights do not fit here.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import Transformer
from ..conditions import Label
from ..decode import Constant
from ..heads import Epsilon
from ..mixers import BiasedAttention
from ..nn.feedforward import MLP
from ..nn.modulation import Each
from ..nn.norm import RMS
from ..objectives import CleanContext
from ..orders import Cells
from ..system import System
from ..tokenizers.kl_vae import KLVAE
from ..tokenizers.patch import Patch
from ..wirings import Beside

KL8 = KLVAE(4, multipliers=(1, 2, 4, 4), attention=(), scale=0.18215)  # Stable Diffusion's, as DiT uses it


def acdit(depth: int, heads: int, dim: int, steps: int = 25, guidance: float = 1.5, classes: int = 1000) -> System:
    """`depth` blocks of `dim`; a block of the picture takes `steps` evaluations."""
    norm = RMS(eps=1e-6)
    return System(
        tokenizer=KL8,
        size=(256, 256),
        order=Cells(16, 16),
        wiring=Beside(modulated=False, bias=False),
        backbone=Transformer(
            dim,
            depth,
            BiasedAttention(heads, norm),
            MLP(tanh=True),
            norm,
            final=norm,
            modulation=Each(),
            rotary_base=100.0,
            dropout=0.0,
            std=round(dim**-0.5, 4),
        ),
        head=Epsilon(steps),
        condition=Label(classes, slots=0, vector=True),
        objective=CleanContext(),
        guidance=Constant(guidance),
    )


SIZES = {
    "b": acdit(12, 12, 768),
    "l": acdit(24, 16, 1024),
    "xl": acdit(28, 18, 1152),
    "h": acdit(32, 20, 1280),
    "digits": replace(acdit(4, 4, 96, classes=10), tokenizer=Patch(2), size=(8, 8), order=Cells(2, 2)),
}
TINY = replace(acdit(2, 2, 16, 3, classes=3), tokenizer=Patch(2), size=(4, 8), order=Cells(2, 1))
