"""PAR (arXiv 2412.15119): tokens far apart depend on each other little, so that drawing them at once costs little."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

import nextset
from nextset import Layout, Model, System
from nextset.backbones import Llama
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.mixers import Attention
from nextset.noise import Noise
from nextset.orders import Order, Plan, Regions
from nextset.train import Recipe, set_up_generator

from . import Claim


@dataclass(frozen=True)
class Blocks(Order):
    """The steps of four regions, but a step takes a block of 2 x 2 neighbours; the first block comes one by one."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """Those of four regions."""
        return Regions().sizes(layout)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """Blocks row by row, each row by row."""
        height, width = layout.shape
        sites = torch.arange(layout.sites, device=noise.device).reshape(height // 2, 2, width // 2, 2)
        return Plan(sites.transpose(1, 2).flatten(), self.sizes(layout))


def claims(steps: int = 250) -> Iterator[Claim]:
    """Who depends on whom, exactly; then distant and adjacent groups, trained by one recipe."""
    system, plain = (small(nextset.spec(f"{name}/digits")) for name in ("par", "llamagen"))
    train = next(once(open_dataset("digits", "train"), 1, (8, 8), 1))
    orders = {"distant": system, "adjacent": replace(system, order=Blocks())}
    models = {name: learned(found, steps) for name, found in orders.items()}
    changed = reached(models["distant"], models["distant"].encode(train.images).data, train.labels)
    step = torch.repeat_interleave(torch.arange(19), torch.tensor(system.order.sizes(system.layout)))
    later = step[None] > step[:, None]
    yield Claim(
        "19 steps draw 64 tokens; a token changes the predictions of all later steps, and of no other",
        f"{int((changed & later).sum())} of {int(later.sum())} pairs reached forwards, {int((changed & ~later).sum())} others",
        "all of them, and 0",
        torch.equal(changed, later),
    )
    one, distant, adjacent = (nats(model) for model in (learned(plain, steps), models["distant"], models["adjacent"]))
    yield Claim(
        f"after {steps} steps, four distant tokens at once cost less than four adjacent ones",
        f"{distant - one:+.3f} and {adjacent - one:+.3f} nats a pixel of unseen digits against {one:.3f} one by one",
        "less by at least 0.02",
        distant < adjacent - 0.02,
    )


def small(system: System) -> System:
    """A system with a backbone that learns in seconds."""
    return replace(system, backbone=Llama(64, 3, Attention(4), dropout=0.0, hidden_multiple=64))


def learned(system: System, steps: int, schedule: Literal["cosine", "constant"] = "cosine") -> Model:
    """A system after `steps` of training on digits."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, batch=32, lr=4e-3, schedule=schedule, ema=0.98)
        set_up_generator(system, "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        return nextset.load(Path(folder) / "run")


def nats(model: Model) -> float:
    """Nats a pixel of unseen digits."""
    test = next(once(open_dataset("digits", "test"), 360, (8, 8), 1))
    return -model.log_prob(test.images, test.labels).mean().item() / 64


@torch.no_grad()
def reached(model: Model, tokens: Tensor, labels: Tensor) -> Tensor:
    """Whether changing the token of a rank (row) changes the prediction of a rank (column) by a bit, (N, N) bool, in float64."""
    network, sites = model.double().network, tokens.shape[1]
    plan = network.plan(0, 1, tokens.device)
    given = plan.to_ranks(tokens).repeat(sites + 1, 1)
    ranks = torch.arange(sites)
    given[ranks, ranks] = (given[ranks, ranks] + 1) % 17
    hidden = network.hidden(plan.to_sites(given), network.condition(labels.expand(sites + 1)), plan)
    model.float()
    return (hidden[:-1] != hidden[-1]).any(-1)
