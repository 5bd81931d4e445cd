"""AiM (arXiv 2408.12245): a state of fixed size in place of a cache that grows, and likelihoods like those of a transformer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import nextset
from nextset import Model, System
from nextset.account import count
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.train import Recipe, set_up_generator

from . import Claim


def claims(steps: int = 200) -> Iterator[Claim]:
    """The state of pictures of three sizes, then digits by one recipe."""
    sides = (128, 256, 512)
    states, caches = ([cached(f"{name}/l", side) for side in sides] for name in ("aim", "llamagen"))
    yield Claim(
        "the state does not grow with the picture",
        f"size l at {sides} pixels: {states} numbers; LlamaGen's {caches}",
        "the first three equal, of the others each four times the last",
        len(set(states)) == 1 and caches[2] == 4 * caches[1] == 16 * caches[0],
    )
    test = next(once(open_dataset("digits", "test"), 360, (8, 8), 1))
    models = [learned(f"{name}/digits", steps) for name in ("aim", "llamagen")]
    ours, theirs = (-model.log_prob(test.images, test.labels).mean().item() / 64 for model in models)
    sizes = [count(model.network) for model in models]
    yield Claim(
        f"after {steps} steps it is as good as a transformer of no fewer parameters",
        f"{ours:.3f} and {theirs:.3f} nats a pixel of unseen digits, {sizes[0]:,} and {sizes[1]:,} parameters",
        "at most 0.05 more",
        ours <= theirs + 0.05 and sizes[0] <= sizes[1],
    )


def cached(name: str, side: int) -> int:
    """Numbers that the cache of one image of `side` pixels holds."""
    system: System = replace(nextset.spec(name), size=(side, side))
    with torch.device("meta"):
        network = system.network()
    script = network.script((1,) * system.layout.sites, torch.device("meta"))
    states = network.backbone.cache(1, script.room(network.backbone.passing), torch.empty(0, device="meta")).states
    return sum(v.numel() for state in states for v in vars(state).values() if isinstance(v, Tensor))


def learned(name: str, steps: int) -> Model:
    """The system after `steps` of training on digits."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, lr=3e-3, ema=0.99)
        set_up_generator(nextset.spec(name), "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        return nextset.load(Path(folder) / "run")
