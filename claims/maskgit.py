"""MaskGIT (arXiv 2202.04200): in few steps, keeping what the model is surest of draws better than keeping sites at random."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import nextset
from nextset import Model
from nextset.evaluate import trained
from nextset.orders import Budget, Confidence, Order
from nextset.train import Recipe, set_up_generator

from . import Claim

DRAWN, SEEDS = 200, (1, 2)


def claims(steps: int = 450) -> Iterator[Claim]:
    """One network; the same numbers of sites in each of 8 steps, chosen by confidence or at random."""
    model = learned("maskgit/digits", steps)
    surest = model.system.order
    assert isinstance(surest, Confidence)
    blind = Budget(surest.sizes(model.system.layout))
    by_confidence, at_random = (recognised(model, order) for order in (surest, blind))
    yield Claim(
        f"after {steps} steps, 8 steps by confidence draw better digits than 8 random ones of the same sizes",
        f"{by_confidence:.1%} and {at_random:.1%} of {DRAWN * len(SEEDS)} recognised as what was asked for",
        "at least 3 points more",
        by_confidence >= at_random + 0.03,
    )


def learned(name: str, steps: int) -> Model:
    """The system after `steps` of training on digits."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, batch=32, lr=3e-3, schedule="constant", ema=0.98)
        set_up_generator(nextset.spec(name), "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        return nextset.load(Path(folder) / "run")


def recognised(model: Model, order: Order) -> float:
    """The share of drawn digits that a classifier takes for what was asked for."""
    drawer = Model(replace(model.system, order=order))
    drawer.load_state_dict(model.state_dict())
    labels, judge = torch.arange(DRAWN) % 10, trained("digits")
    found = [judge.logits(judge.features(drawer.generate(labels, seed=seed))).argmax(1) == labels for seed in SEEDS]
    return torch.cat(found).double().mean().item()
