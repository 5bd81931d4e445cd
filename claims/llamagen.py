"""LlamaGen (arXiv 2406.06525): a plain Llama, next token by next token, models pictures."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

import nextset
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.evaluate.bits import bits_per_dim, histogram_bits, quantise
from nextset.train import Recipe, set_up_generator

from . import Claim

LEVELS, SIZE = 17, (8, 8)


def claims(steps: int = 250) -> Iterator[Claim]:
    """Starts from the uniform distribution; learns the shape of digits, not only the grey levels of each pixel."""
    torch.manual_seed(0)
    system = nextset.spec("llamagen/digits")
    test = next(once(open_dataset("digits", "test"), 360, SIZE, 1))
    loss = system.build().eval().loss(test.images, test.labels)["loss"].item()
    yield Claim(
        "its zero output matrix starts from the uniform distribution",
        f"loss {loss:.6f}",
        f"ln {LEVELS} = {math.log(LEVELS):.6f}",
        math.isclose(loss, math.log(LEVELS), rel_tol=1e-6),
    )
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, lr=2e-3, ema=0.99)
        set_up_generator(system, "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        model = nextset.load(Path(folder) / "run")
    train = next(once(open_dataset("digits", "train"), 2000, SIZE, 1))
    bits = bits_per_dim(
        lambda x, y, first: model.log_prob(x, y, first=first), [(test.images, test.labels)], math.prod(SIZE)
    ).mean
    alone = histogram_bits(quantise(train.images, LEVELS), quantise(test.images, LEVELS), LEVELS).mean
    yield Claim(
        f"after {steps} steps it describes unseen digits better than a histogram of each pixel does",
        f"{bits:.3f} against {alone:.3f} bits a pixel, {1 - bits / alone:.0%} fewer",
        "at least 15% fewer",
        bits <= 0.85 * alone,
    )
