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
NET = ViT(64, 2, 4, patch=2, std=0.2)


def claims(steps: int = 350) -> Iterator[Claim]:
    """Lines of 2, 4 and 8 sites over the same 16 patches; then a convolutional tokenizer of a 2 x 2 grid."""
    few, four, many = (
        error(TiTok(CODES, DIM, sites, SIZE[0], NET, NET, channels=1, normalise=True), steps) for sites in (2, 4, 8)
    )
    yield Claim(
        f"after {steps} steps, 8 tokens without a place reconstruct digits better than 2, through the same nets",
        f"squared errors {many:.3f} and {few:.3f} ({four:.3f} with 4)",
        "at most 0.7 of it",
        many <= 0.7 * few,
    )
    squares = error(VQ(CODES, DIM, 16, (1, 2, 2), blocks=1, latent=32, groups=8, channels=1), steps)
    yield Claim(
        "4 tokens without a place reconstruct better than 4 on a grid",
        f"squared errors {four:.3f} and {squares:.3f}",
        "less",
        four < squares,
        "convolutions know from the start what is beside what, which transformers learn in far more than a few hundred steps; and what "
        "the paper saves is that places of a large picture repeat each other, which those of digits hardly do",
    )


def error(spec: Tokenizer, steps: int) -> float:
    """Of unseen digits, after so many steps of training."""
    recipe = Recipe(steps=steps, batch=64, lr=3e-3, schedule="constant", warmup=30, weight_decay=0.0, beta2=0.99, ema=0)
    with tempfile.TemporaryDirectory() as folder:
        setup = set_up_tokenizer(spec, SIZE, "digits", recipe, loss=TokenizerLoss(), revival=Revival())
        setup.run(Path(folder) / "run", sample_every=0, eval_every=0)
        module = load_tokenizer(Path(folder) / "run")[1]
    dataset = open_dataset("digits", "test")
    images = next(once(dataset, len(dataset), SIZE, spec.channels)).images
    with torch.no_grad():
        return (module.decode(module.encode(images)) - images).square().mean().item()
