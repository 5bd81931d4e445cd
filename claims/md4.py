"""MD4 (arXiv 2406.04329): no schedule changes the bound, and a cosine grid of times draws better in few steps than an even one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

import nextset
from nextset import Model
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.nn.masking import Cosine, Masking, Power
from nextset.noise import Noise
from nextset.objectives import MaskedDiffusion
from nextset.orders import Unmasking
from nextset.tokenizers.pixel import Pixel

from . import Claim
from .maskgit import learned

CURVES: tuple[Masking, ...] = (Power(), Power(3.0), Cosine())
SEEDS = (0, 1)


def claims(steps: int = 300) -> Iterator[Claim]:
    """The integral by enumeration of masks; then what unseen digits cost when 8 steps unmask them."""
    found = [integral(curve) for curve in CURVES]
    yield Claim(
        "the bound is the same for the linear, the cubic and the cosine schedule",
        ", ".join(f"{nats:.7f}" for nats in found) + " nats a site over all 16 masks of a toy",
        "equal to 1e-5",
        max(found) - min(found) < 1e-5,
    )
    model = learned("md4/digits", steps)
    test = next(once(open_dataset("digits", "test"), 256, (8, 8), 1))
    tokens = model.encode(test.images).data
    cosine, flat = (cost(model, tokens, test.labels, Unmasking(8, grid=grid)) for grid in (Cosine(), Power()))
    yield Claim(
        f"after {steps} steps, unseen digits cost less in 8 steps on the cosine grid than in 8 on an even one",
        f"{cosine:.4f} and {flat:.4f} nats a pixel",
        "at least 1% less",
        cosine < 0.99 * flat,
    )


@torch.no_grad()
def integral(curve: Masking, points: int = 20_000) -> float:
    """The bound of one picture of 2 x 2 pixels in nats a site, under a network with random weights."""
    torch.manual_seed(0)
    model = replace(nextset.spec("md4/tiny"), tokenizer=Pixel(3), size=(2, 2)).build().eval().double()
    for parameter in model.network.parameters():
        parameter.normal_(std=0.5)
    network, masks = model.network, torch.tensor(list(itertools.product((False, True), repeat=4)))
    rows, labels = torch.tensor([[0, 2, 1, 1]]).expand(len(masks), -1), torch.ones(len(masks), dtype=torch.int64)
    hidden = network.revealed(rows, masks, network.condition(labels))
    losses, masked = (network.head.loss(hidden, rows) * ~masks).sum(1) / 4, (~masks).sum(1)
    share, weight = MaskedDiffusion(curve, 1e-9).at((torch.arange(points, dtype=torch.float64) + 0.5) / points)
    chance = share[:, None] ** masked * (1 - share[:, None]) ** (4 - masked)
    return float((weight * (chance * losses).sum(1)).mean())


@torch.no_grad()
def cost(model: Model, tokens: Tensor, labels: Tensor, order: Unmasking) -> float:
    """-ln p in nats a pixel when each pixel is unmasked in its step, given those of earlier steps."""
    network, found = model.network, []
    for seed in SEEDS:
        due = order.chooser(model.system.layout, Noise(seed, range(len(tokens)))).due
        total = torch.zeros(tokens.shape)
        for step in range(order.steps):
            hidden = network.revealed(tokens, due < step, network.condition(labels))
            total += network.head.loss(hidden, tokens) * (due == step)
        found.append(total.mean())
    return float(torch.stack(found).mean())
