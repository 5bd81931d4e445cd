"""ACDiT (arXiv 2412.07720): between one token at a time and the whole picture at once there is a choice of blocks."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import nextset
from nextset import Model, System
from nextset.account import account
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.evaluate.frechet import Moments, frechet
from nextset.heads.denoiser import DenoiserModule
from nextset.nn import dpm
from nextset.objectives.denoising import disturbed
from nextset.orders import Cells
from nextset.slots import Mask, Slots, visible
from nextset.systems.acdit import acdit
from nextset.tokenizers.patch import Patch
from nextset.train import Recipe, set_up_generator
from nextset.wirings import Beside

from . import Claim

SMALL = replace(acdit(2, 4, 64, 10, classes=10), tokenizer=Patch(2), size=(8, 8), order=Cells(2, 2))
DRAWN = 500


def claims(steps: int = 600) -> Iterator[Claim]:
    """The mask, the limit of one block, what blocks cost, and what they are worth."""
    wrong = sum(differing(blocks, size) for blocks, size in ((4, 3), (1, 4), (6, 1), (2, 5)))
    yield Claim("its mask is the skip-causal rule", f"{wrong} pairs of slots differ", "0", wrong == 0)
    images = next(once(open_dataset("digits", "train"), 64, (8, 8), 1))
    system = replace(SMALL, order=Cells(4, 4), head=replace(SMALL.head, std=0.1))  # type: ignore[call-arg]
    loss, plain = (f(system, images.images, images.labels) for f in (loss_of, by_hand))
    yield Claim(
        "one block is a plain DiT",
        f"losses {loss:.7f} and {plain:.7f}",
        "equal but for rounding",
        math.isclose(loss, plain, rel_tol=1e-6),
    )
    costs = [account(replace(nextset.spec("acdit/b"), order=Cells(n, n))).multiply_adds for n in (32, 16, 8)]
    yield Claim(
        "with the cache, more blocks cost less arithmetic for the same evaluations a site",
        ", ".join(f"{n} blocks {cost / 1e12:.2f}T" for n, cost in zip((1, 4, 16), costs, strict=True)),
        "falling",
        costs == sorted(costs, reverse=True) and len(set(costs)) == 3,
    )
    found = {(4 // side) ** 2: distance(learned(replace(SMALL, order=Cells(side, side)), steps)) for side in (1, 2, 4)}
    evaluations = SMALL.head.steps  # type: ignore[attr-defined]
    yield Claim(
        f"after {steps} steps, more blocks draw closer to digits, for more evaluations one after another",
        ", ".join(f"{blocks} blocks {far:.2f} in {blocks * evaluations}" for blocks, far in found.items()),
        "a Frechet distance of pixels that falls from 1 block to 4 to 16",
        found[16] < found[4] < found[1],
    )


def differing(blocks: int, size: int) -> int:
    """Pairs of slots whose visibility is not what the rule says: clean see clean ones not later, noisy see earlier clean ones and their own."""
    table = Beside(modulated=False).whole((size,) * blocks, 0)
    places = [(place // size, place >= (blocks - 1) * size) for place in range((2 * blocks - 1) * size)]
    blocks_of = [
        (block - (blocks - 1) if noisy else block, noisy) for block, noisy in places
    ]  # the last clean block is not there

    def sees(query: tuple[int, bool], key: tuple[int, bool]) -> bool:
        (q, noisy), (k, key_noisy) = query, key
        if key_noisy:
            return noisy and q == k
        return q > k if noisy else q >= k

    rule = np.array([[sees(query, key) for key in blocks_of] for query in blocks_of])
    return int((visible(table, table) != rule).sum())


def loss_of(system: System, images: Tensor, labels: Tensor) -> float:
    """By the objective, with weights, steps and noise of seed 0."""
    torch.manual_seed(0)
    return system.build().eval().loss(images, labels, seed=0)["loss"].item()


def by_hand(system: System, images: Tensor, labels: Tensor) -> float:
    """The mean of |eps' - eps|^2 with all sites seeing all, without a plan, a wiring's table or a mask."""
    torch.manual_seed(0)
    model = system.build().eval()
    network, x = model.network, model.encode(images).data
    head = network.head
    assert isinstance(head, DenoiserModule)
    noise, noisy = disturbed(head, x, (x.shape[1],), 0)
    level = noisy.level[:, 0]
    a = torch.tensor([dpm.signal()[math.floor(1000 * number)] for number in level.tolist()])[:, None, None]
    vector = network.condition(labels).vector + network.wiring.level(level)  # type: ignore[operator]
    contents = network.wiring.embed(a * x + (1 - a * a).sqrt() * noise)  # type: ignore[operator]
    said = head.project(network.backbone(Slots(contents, torch.arange(x.shape[1]), Mask(), vector=vector)))
    return (said - noise).square().mean().item()


def learned(system: System, steps: int) -> Model:
    """The system after `steps` of training on digits."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, batch=32, lr=3e-3, ema=0.98)
        set_up_generator(system, "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        return nextset.load(Path(folder) / "run")


def distance(model: Model) -> float:
    """The Frechet distance of the pixels of drawn and of real digits."""
    real = next(once(open_dataset("digits", "train"), 1400, (8, 8), 1))
    drawn = model.generate(real.labels[:DRAWN], seed=1, guidance=1.0)
    moments = [Moments(drawn[0].numel()) for _ in range(2)]
    for found, images in zip(moments, (drawn, real.images), strict=True):
        found.add(images.flatten(1))
    return frechet(*moments)
