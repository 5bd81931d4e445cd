"""RAR (arXiv 2411.00776): a slot must know which site it predicts; random orders that give way to the raster."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nextset
from nextset import Model, System
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.orders import Order, Random, Raster
from nextset.systems.rar import rar
from nextset.tokenizers.pixel import Pixel
from nextset.train import Recipe, set_up_generator
from nextset.wirings import Shift, Stepped

from . import Claim

SIZE = (8, 8)


def claims(steps: int = 150) -> Iterator[Claim]:
    """Two layers learn digits of four grey levels: in random orders with and without targets, in raster, and from one to the other."""
    annealed = rar(2, 4, 64, image=8, tokenizer=Pixel(4), classes=10)
    shuffled, straight = replace(annealed, order=Random()), replace(annealed, order=Raster())
    blind = replace(
        shuffled,
        wiring=Stepped(Shift()),
        backbone=replace(annealed.backbone, learned=True),  # type: ignore[call-arg]
    )
    model = learned(shuffled, steps)
    aware, unaware, random = nats(model), nats(learned(blind, steps)), nats(model, Raster())
    yield Claim(
        f"after {steps} steps in random orders, slots that know which site they predict do better than slots that do not",
        f"{aware:.3f} against {unaware:.3f} nats a pixel of unseen digits",
        "at least 0.05 fewer",
        aware <= unaware - 0.05,
    )
    found, raster = nats(learned(annealed, steps)), nats(learned(straight, steps))
    yield Claim(
        "in raster, a model whose random orders gave way to the raster does better than one that stayed random",
        f"{found:.3f} against {random:.3f} nats a pixel",
        "fewer",
        found < random,
    )
    yield Claim(
        "and no worse than one that only saw the raster",
        f"{found:.3f} against {raster:.3f} nats a pixel",
        "at most 0.02 more",
        found <= raster + 0.02,
        "the gap is 0.04 after 150 steps and 0.07 after 250: three eighths of the samples come in raster, and neither model "
        "overfits yet, which random orders are against; the paper trains 400 epochs",
    )


def learned(system: System, steps: int) -> Model:
    """The system after `steps` of training on digits."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, batch=32, lr=2e-3, warmup=20, ema=0.98)
        set_up_generator(system, "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        return nextset.load(Path(folder) / "run")


def nats(model: Model, order: Order | None = None) -> float:
    """Nats a pixel of the test digits, in the order that the model is judged in, or in `order`."""
    if order is not None:
        judged = replace(model.system, order=order).build()
        judged.load_state_dict(model.state_dict())
        model = judged
    test = next(once(open_dataset("digits", "test"), 360, SIZE, 1))
    return -model.log_prob(test.images, test.labels).mean().item() / 64
