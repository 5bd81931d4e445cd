"""VAR (arXiv 2404.02905): residuals shrink scale by scale, and whole scales in few steps draw as well as tokens in a row."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

import nextset
from nextset import Model, System
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.decode import Constant, Guidance, Linear
from nextset.evaluate import trained
from nextset.objectives.adversarial import TokenizerLoss
from nextset.systems.llamagen import llamagen
from nextset.tokenizers.base import Tokenizer
from nextset.tokenizers.multiscale import MultiScaleVQModule
from nextset.tokenizers.vq import VQ
from nextset.train import Recipe, Revival, set_up_generator, set_up_tokenizer

from . import Claim

SIZE, DRAWN, SCALE = (8, 8), 500, 1.5
PLAIN = VQ(
    64, 8, 16, (1, 2), blocks=1, latent=16, groups=8, channels=1
)  # the nets and codes of var/digits, one map of 4x4


def claims(steps: int = 150) -> Iterator[Claim]:
    """Both tokenizers and both generators learn digits by one recipe, tokenizers twice as long."""
    scales, raster = nextset.spec("var/digits"), llamagen(4, 4, 96, 8, PLAIN, 10)
    with tempfile.TemporaryDirectory() as folder:
        models = {
            name: learned(system, Path(folder) / name, steps)
            for name, system in (("scales", scales), ("raster", raster))
        }
    errors = residuals(models["scales"])
    yield Claim(
        "every scale takes from what is left of the latents of unseen digits",
        " ".join(f"{error:.0%}" for error in errors) + " of their variance left after each scale",
        "falling, to less than 25%",
        all(a > b for a, b in zip(errors, errors[1:], strict=False)) and errors[-1] < 0.25,
    )
    few = recognised(models["scales"], Linear(SCALE))
    many = recognised(models["raster"], Constant(SCALE))
    yield Claim(
        f"after {steps} steps of training, 4 steps of whole scales draw as well as 16 tokens in a row",
        f"{few:.1%} and {many:.1%} of {DRAWN} recognised as what was asked for",
        "no more than 3 points fewer",
        few > many - 0.03,
    )


def learned(system: System, folder: Path, steps: int) -> Model:
    """The system after twice so many steps of its tokenizer, then so many of its network."""
    codes = train_tokenizer(system.tokenizer, folder / "tokenizer", 2 * steps)
    recipe = Recipe(steps=steps, lr=3e-3, warmup=20, ema=0.98)
    setup = set_up_generator(system, "digits", recipe, tokenizer=str(codes))
    setup.run(folder / "model", sample_every=0, eval_every=0)
    return nextset.load(folder / "model")


def train_tokenizer(spec: Tokenizer, out: Path, steps: int) -> Path:
    """The folder of a tokenizer trained on digits."""
    recipe = Recipe(steps=steps, batch=32, lr=3e-3, warmup=20, weight_decay=0.0, beta2=0.99, ema=0.98)
    revival = Revival(every=25, until=0.7)
    setup = set_up_tokenizer(spec, SIZE, "digits", recipe, loss=TokenizerLoss(), revival=revival)
    setup.run(out, sample_every=0, eval_every=0)
    return out


@torch.inference_mode()
def residuals(model: Model) -> list[float]:
    """The part of the variance of unseen latents that is left after each scale."""
    module = model.tokenizer
    assert isinstance(module, MultiScaleVQModule)
    latents = module.latents(next(once(open_dataset("digits", "test"), 360, SIZE, 1)).images)
    sums = module.quantise(latents, model.system.layout.blocks).sums
    return [(F.mse_loss(total, latents) / latents.var()).item() for total in sums]


def recognised(model: Model, guidance: Guidance) -> float:
    """The share of drawn digits that a classifier takes for what was asked for."""
    labels, judge = torch.arange(DRAWN) % 10, trained("digits")
    images = model.generate(labels, seed=1, guidance=guidance, pick=replace(model.system.pick, top_k=0, top_p=1.0))
    return (judge.logits(judge.features(images)).argmax(1) == labels).double().mean().item()
