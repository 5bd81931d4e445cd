"""RandAR (arXiv 2412.01827): any order costs little, and several tokens a step are drawn from the same weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import nextset
from nextset import Model
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.evaluate import trained
from nextset.orders import Random
from nextset.train import Recipe, set_up_generator

from . import Claim

DRAWN = 500


def claims(steps: int = 600) -> Iterator[Claim]:
    """Both learn digits by one recipe; then random orders against the raster, and few steps against many."""
    test = next(once(open_dataset("digits", "test"), 360, (8, 8), 1))
    models = {name: learned(f"{name}/digits", steps) for name in ("randar", "llamagen")}
    nats = {name: -model.log_prob(test.images, test.labels).mean().item() / 64 for name, model in models.items()}
    yield Claim(
        f"after {steps} steps, random orders cost little against the raster",
        f"{nats['randar']:.3f} and {nats['llamagen']:.3f} nats a pixel of unseen digits",
        "less than 0.1 more",
        nats["randar"] < nats["llamagen"] + 0.1,
        "the gap still closes: about 0.23 after 350 steps and 0.14 after 1000; the paper trains 300 epochs of ImageNet",
    )
    many, few = (recognised(models["randar"], count) for count in (0, 22))
    yield Claim(
        "22 steps in place of 64 draw as well, from the same weights",
        f"{few:.1%} and {many:.1%} of {DRAWN} recognised as what was asked for",
        "less than 5 points fewer",
        few > many - 0.05,
    )


def learned(name: str, steps: int) -> Model:
    """The system after `steps` of training on digits."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, lr=3e-3, ema=0.99)
        set_up_generator(nextset.spec(name), "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        return nextset.load(Path(folder) / "run")


def recognised(model: Model, steps: int) -> float:
    """The share of drawn digits that a classifier takes for what was asked for, drawn in so many steps (0: one a pixel)."""
    model.system = replace(model.system, order=Random(steps))
    labels = torch.arange(DRAWN) % 10
    judge = trained("digits")
    images = model.generate(labels, seed=1)
    return (judge.logits(judge.features(images)).argmax(1) == labels).double().mean().item()
