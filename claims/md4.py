"""MD4 (arXiv 2406.04329): no schedule changes the bound; more steps draw nearer to the joint distribution, and so does a good grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

import nextset
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.nn.masking import Cosine, Masking, Power
from nextset.objectives import MaskedDiffusion
from nextset.orders import Unmasking
from nextset.tokenizers.pixel import Pixel

from . import Claim

CURVES: tuple[Masking, ...] = (Power(), Power(3.0), Cosine())
ROWS, COLUMNS = 4, 3


def claims(steps: int = 20_000) -> Iterator[Claim]:
    """The integral over `steps` times, by enumeration of masks; then what K steps lose on a joint table of real digits."""
    found = [integral(curve, steps) for curve in CURVES]
    yield Claim(
        "the bound is the same for the linear, the cubic and the cosine schedule",
        ", ".join(f"{nats:.7f}" for nats in found) + " nats a site over all 16 masks of a toy",
        "equal to 1e-5",
        max(found) - min(found) < 1e-5,
    )
    costs = mean_costs(table())
    lost = {count: unmasked(costs, Unmasking(count)) - sum(costs) for count in (1, 8, 64)}
    yield Claim(
        f"more steps draw nearer to the joint distribution of {ROWS * COLUMNS} thresholded pixels of real digits",
        ", ".join(f"{nats:.4f}" for nats in lost.values()) + f" nats lost in 1, 8, 64 steps, of {sum(costs):.3f}",
        "each less than half of the one before, the last below 1%",
        lost[1] > 2 * lost[8] > 4 * lost[64] and lost[64] < 0.01 * sum(costs),
    )
    cosine = unmasked(costs, Unmasking(8, grid=Cosine())) - sum(costs)
    yield Claim(
        "8 steps on the cosine grid lose less than 8 on an even one",
        f"{cosine:.4f} and {lost[8]:.4f} nats lost",
        "less",
        cosine < lost[8],
        "it takes its long steps last, which is right where late sites cost little; here what a site costs falls the faster the "
        f"more is known ({', '.join(f'{c:.2f}' for c in costs[::3])} nats with 0, 3, 6, 9 known), and the paper means pictures of thousands",
    )


@torch.no_grad()
def integral(curve: Masking, points: int) -> float:
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


def table() -> Tensor:
    """p of every picture of real digits, averaged to a few pixels and thresholded at their medians, (2, 2, ...)."""
    images = next(once(open_dataset("digits", "train"), 2000, (8, 8), 1)).images
    pixels = torch.nn.functional.adaptive_avg_pool2d(images, (ROWS, COLUMNS)).flatten(1)
    bits, sites = (pixels > pixels.median(0).values).long(), ROWS * COLUMNS
    counts = torch.bincount((bits * 2 ** torch.arange(sites)).sum(1), minlength=2**sites).double()
    return (counts / counts.sum()).view([2] * sites)


def mean_costs(p: Tensor) -> list[float]:
    """Exactly what a site costs on average, in nats, when 0, 1, ... are known to a perfect network; they sum to the entropy."""
    sites = range(p.ndim)
    entropy = {
        chosen: torch.special.entr(p.sum([s for s in sites if s not in chosen]) if len(chosen) < p.ndim else p).sum()
        for known in range(p.ndim + 1)
        for chosen in itertools.combinations(sites, known)
    }
    costs = []
    for known in sites:
        subsets = itertools.combinations(sites, known)
        found = [entropy[tuple(sorted((*s, i)))] - entropy[s] for s in subsets for i in sites if i not in s]
        costs.append(float(torch.stack(found).mean()))
    return costs


def unmasked(costs: list[float], order: Unmasking) -> float:
    """What a picture costs in nats, on average, when its sites are unmasked by this order."""
    sites, total, before = len(costs), 0.0, 1.0
    for after in order.shares:
        for known, cost in enumerate(costs):
            chance = math.comb(sites, known) * (1 - before) ** known * before ** (sites - known)
            total += chance * (sites - known) * cost * (before - after) / before
        before = after
    return total
