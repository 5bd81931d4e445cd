"""MAR (Li et al. 2024, arXiv 2406.11838): autoregression without quantisation, in sets of sites in any order.

tokenizer  KL-VAE latents, 16 numbers a site; generators train on samples of the posterior
order      uniformly random, cut into sets by a cosine
wiring     masks re-encoded: a ViT encodes 64 class slots and the known tokens, another all slots, mask vectors for the unknown
head       a small diffusion model a token, an MLP under the hidden vector; the temperature scales its noise
objective  the loss of everything unknown, given a random known share of at most 30%
guidance   on the diffusion's noise, growing with the share of known sites
New here: tokenizers/kl_vae.py, backbones/masked.py, heads/diffusion.py, objectives/masked_share.py.
"""

from __future__ import annotations

from dataclasses import replace

from ..backbones import MaskedAutoencoder
from ..conditions import Label
from ..decode import Proportional
from ..heads import Diffusion
from ..mixers import BiasedAttention
from ..nn.diffusion import Strided
from ..nn.feedforward import MLP
from ..nn.masking import Cosine
from ..objectives import MaskedShare
from ..orders import Falling, Random
from ..system import System
from ..tokenizers.base import Tokenizer
from ..tokenizers.kl_vae import KLVAE
from ..tokenizers.patch import Patch
from ..wirings import Masked

DROPOUT = 0.1
IMAGENET, PICTURES = Label(1000, slots=64), (KLVAE(), 256)


def mar(
    dim: int,
    depth: int,
    heads: int,
    head: Diffusion,
    guidance: float = 3.0,
    steps: int = 256,
    condition: Label = IMAGENET,
    pictures: tuple[Tokenizer, int] = PICTURES,
) -> System:
    """`depth` blocks of width `dim` each for encoder and decoder; `pictures` are a tokenizer and the side in pixels."""
    tokenizer, side = pictures
    mlp = MLP(inner=DROPOUT)
    return System(
        tokenizer=tokenizer,
        size=(side, side),
        order=Random(steps, Falling(Cosine())),
        wiring=Masked(),
        backbone=MaskedAutoencoder(dim, depth, BiasedAttention(heads), condition.slots, 0, mlp, dropout=DROPOUT),
        head=head,
        condition=condition,
        objective=MaskedShare(),
        guidance=Proportional(guidance, after=True, left=1),
    )


def plain(system: System) -> System:
    """The same without dropout between the maps of feed-forwards."""
    assert isinstance(system.backbone, MaskedAutoencoder)
    return replace(system, backbone=replace(system.backbone, feedforward=MLP()))


# small sizes start below the last level of noise, which multiplies what a network has not learned yet by 2e4
SMALL = KLVAE(4, width=16, multipliers=(1, 2, 2), blocks=1, groups=8, attention=(), scale=None, beta=1e-4)

SIZES = {
    "b": mar(768, 12, 12, Diffusion(1024, 6), 2.9),
    "l": mar(1024, 16, 16, Diffusion(1280, 8), 3.0),
    "h": mar(1280, 20, 16, Diffusion(1536, 12), 3.2),
    "digits": replace(
        plain(mar(96, 3, 4, Diffusion(128, 3, Strided(25)), 2.0, 16, Label(10, slots=4), (Patch(2), 8))),
        objective=MaskedShare(0.05, deviation=0.5),  # 16 sites are cheap: all shares, not only those of at least 70%
    ),
    "shapes": plain(mar(128, 3, 4, Diffusion(256, 3, Strided(25)), 2.0, 16, Label(36, slots=4), (SMALL, 32))),
}
TINY = replace(
    plain(mar(16, 1, 2, Diffusion(16, 1, Strided(4)), 2.0, 3, Label(3, slots=2), (Patch(2), 4))),
    objective=MaskedShare(0.3, mean=0.5),  # of four sites some are known
)
