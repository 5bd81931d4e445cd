"""TiTok (arXiv 2406.07550): tokens that belong to no place, so that their number is free, and more of them reconstruct better."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.objectives.adversarial import TokenizerLoss
from nextset.pretrained import load_tokenizer
from nextset.tokenizers.base import Tokenizer
from nextset.tokenizers.slotted import ViT
from nextset.tokenizers.titok import TiTok
from nextset.tokenizers.vq import VQ
from nextset.train import Recipe, Revival, set_up_tokenizer

from . import Claim

SIZE, CODES, DIM = (8, 8), 64, 8
NET = ViT(64, 2, 4, patch=2, std=0.1)
SITES = (2, 4, 8)  # 4 is what a grid of 4 pixels a site has


def claims(steps: int = 350) -> Iterator[Claim]:
    """Lines of 2, 4 and 8 sites over the same 16 patches; then a convolutional tokenizer of a 2 x 2 grid."""
    lines = [error(TiTok(CODES, DIM, sites, SIZE[0], NET, NET, channels=1, normalise=True), steps) for sites in SITES]
    squares = error(VQ(CODES, DIM, 16, (1, 2, 2), blocks=1, latent=32, groups=8, channels=1), steps)
    yield Claim(
        f"after {steps} steps, {SITES[0]}, {SITES[1]} and {SITES[2]} tokens without a place reconstruct digits better and better",
        "squared errors " + ", ".join(f"{found:.3f}" for found in lines),
        "each at most 0.9 of the one before",
        all(later <= 0.9 * earlier for earlier, later in zip(lines, lines[1:], strict=False)),
    )
    yield Claim(
        f"{SITES[1]} tokens without a place reconstruct better than {SITES[1]} on a grid",
        f"squared errors {lines[1]:.3f} and {squares:.3f}",
        "less",
        lines[1] < squares,
        "convolutions know from the start what is beside what, which transformers learn in far more than a few hundred steps; digits "
        "are also too small for one place to repeat what another says",
    )


def error(spec: Tokenizer, steps: int) -> float:
    """Of unseen digits, after so many steps of training."""
    recipe = Recipe(steps=steps, batch=64, lr=3e-3, warmup=30, weight_decay=0.0, beta2=0.99, ema=0)
    with tempfile.TemporaryDirectory() as folder:
        setup = set_up_tokenizer(spec, SIZE, "digits", recipe, loss=TokenizerLoss(), revival=Revival())
        setup.run(Path(folder) / "run", sample_every=0, eval_every=0)
        module = load_tokenizer(Path(folder) / "run")[1]
    dataset = open_dataset("digits", "test")
    images = next(once(dataset, len(dataset), SIZE, spec.channels)).images
    with torch.no_grad():
        return (module.decode(module.encode(images)) - images).square().mean().item()
