"""HART (arXiv 2410.10812), its tokenizer: one decoder paints ids, and better what they leave out; together they are the latents."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.objectives.adversarial import TokenizerLoss
from nextset.pretrained import load_tokenizer
from nextset.tokenizers.base import Tokenizer, TokenizerModule
from nextset.tokenizers.hybrid import HybridVQ, HybridVQModule
from nextset.tokenizers.multiscale import MultiScaleVQ, MultiScaleVQModule
from nextset.train import Recipe, Revival, set_up_tokenizer

from . import Claim

SIZE = (8, 8)
PLAIN = MultiScaleVQ(64, 8, (1, 2, 3, 4), 16, (1, 2), blocks=1, groups=8, channels=1)  # that of var/digits


def claims(steps: int = 400) -> Iterator[Claim]:
    """A multi-scale tokenizer and a hybrid one learn digits by one recipe, and are asked for unseen ones."""
    plain, hybrid = learned(PLAIN, steps), learned(HybridVQ(PLAIN), steps)
    assert isinstance(plain, MultiScaleVQModule)
    assert isinstance(hybrid, HybridVQModule)
    images = next(once(open_dataset("digits", "test"), 360, SIZE, 1)).images
    with torch.inference_mode():
        split = hybrid.split(images)
        gap = (hybrid.joined(split) - hybrid.latents(images)).abs().max().item()
        coded = F.mse_loss(hybrid.decode(split.tokens), images).item()
        whole = F.mse_loss(hybrid.restore(split), images).item()
        usual = F.mse_loss(plain.decode(plain.encode(images)), images).item()
    yield Claim(
        "ids of the scales before the last, and what is left, are the latents of unseen digits",
        f"{gap:.0e} apart at most",
        "no more than 1e-6",
        gap <= 1e-6,
    )
    yield Claim(
        "one decoder paints digits better of the whole latents than of ids alone",
        f"squared error {whole:.4f} against {coded:.4f}",
        "less than 80% of it",
        whole < 0.8 * coded,
    )
    yield Claim(
        "which ids do not pay for",
        f"squared error {coded:.4f}, that of a tokenizer trained on ids alone {usual:.4f}",
        "at most a tenth more",
        coded < 1.1 * usual,
    )


def learned(spec: Tokenizer, steps: int) -> TokenizerModule:
    """The tokenizer after so many steps on digits."""
    recipe = Recipe(steps=steps, batch=32, lr=3e-3, warmup=20, weight_decay=0.0, beta2=0.99, ema=0.98)
    revival = Revival(every=25, until=0.7)
    with tempfile.TemporaryDirectory() as folder:
        setup = set_up_tokenizer(spec, SIZE, "digits", recipe, loss=TokenizerLoss(), revival=revival)
        setup.run(Path(folder) / "run", sample_every=0, eval_every=0)
        return load_tokenizer(Path(folder) / "run")[1]
