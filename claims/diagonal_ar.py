"""DAR (arXiv 2503.11129): a walk along the diagonals whose next site is always next door, by a model that knows the way."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import nextset
from nextset import System
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.layout import Tokens, grid
from nextset.nn.embedding import Table
from nextset.noise import Noise
from nextset.orders import Diagonal, Order, Raster
from nextset.systems.diagonal_ar import diagonal_ar
from nextset.systems.llamagen import llamagen
from nextset.tokenizers.pixel import Pixel
from nextset.train import Recipe, set_up_generator
from nextset.wirings import Shift

from . import Claim

SIDE, SIZE = 16, (8, 8)


def claims(steps: int = 150) -> Iterator[Claim]:
    """Steps of the walk; codes that are the same; then raster, walk, and walk without knowing the way, on digits of four levels."""
    diagonal, raster = longest(Diagonal()), longest(Raster())
    yield Claim(
        f"on {SIDE} x {SIDE} sites no step of the walk is longer than to a diagonal neighbour",
        f"{diagonal:.3f}; of the raster {raster:.3f}",
        f"{math.sqrt(2):.3f}",
        math.isclose(diagonal, math.sqrt(2), rel_tol=1e-6),
    )
    difference, other = after_equal_codes()
    yield Claim(
        "two codes that are made one give the same predictions",
        f"largest difference {difference:.1e}; between two other codes {other:.1e}",
        "0, and more than 0",
        difference == 0 < other,
    )
    base = llamagen(2, 2, 64, 8, Pixel(4), 10, hidden_multiple=64)
    walk = diagonal_ar(base, Table())
    systems = {"raster": base, "walk": walk, "lost": replace(walk, wiring=Shift(), backbone=base.backbone)}
    nats = {name: judged(system, steps) for name, system in systems.items()}
    yield Claim(
        f"after {steps} steps the walk describes unseen digits no worse than a raster of the same blocks",
        f"{nats['walk']:.3f} against {nats['raster']:.3f} nats a pixel",
        "at most 0.01 more",
        nats["walk"] <= nats["raster"] + 0.01,
    )
    yield Claim(
        "without directions and positions of the next site the same walk is worse",
        f"{nats['lost']:.3f} against {nats['walk']:.3f} nats a pixel",
        "at least 0.02 more",
        nats["lost"] >= nats["walk"] + 0.02,
    )


def longest(order: Order) -> float:
    """The largest Euclidean distance between sites that follow each other."""
    layout = grid(SIDE, SIDE)
    places = layout.coordinates()[order.plan(layout, Noise(0, range(1))).perm]
    return places.diff(dim=0).double().norm(dim=1).max().item()


def after_equal_codes() -> tuple[float, float]:
    """How much hidden vectors differ where one code is replaced by an equal one, and by another one."""
    torch.manual_seed(0)
    model = nextset.spec("diagonal-ar/shapes").build().eval()
    codes = model.tokenizer.get_parameter("codebook.weight").data
    codes[1] = codes[0]
    pictures = torch.zeros(3, model.system.layout.sites, dtype=torch.int64)
    pictures[1], pictures[2] = 1, 2
    network = model.network
    with torch.no_grad():
        tokens = Tokens(pictures, model.system.layout)
        condition = network.condition.prepare(0, len(tokens), model.device)
        hidden = network.hidden(pictures, network.condition(condition), network.plan(0, len(tokens), model.device))
    return (hidden[0] - hidden[1]).abs().max().item(), (hidden[0] - hidden[2]).abs().max().item()


def judged(system: System, steps: int) -> float:
    """Nats a pixel of the test digits after `steps` of training."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, batch=32, lr=3e-3, warmup=20, ema=0.98)
        set_up_generator(system, "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        model = nextset.load(Path(folder) / "run")
    test = next(once(open_dataset("digits", "test"), 360, SIZE, 1))
    return -model.log_prob(test.images, test.labels).mean().item() / 64
