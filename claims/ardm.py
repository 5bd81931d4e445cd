"""ARDM (arXiv 2110.02037): one pass bounds the likelihood of all orders, and a dynamic program spends few calls well."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

import nextset
from nextset import Model
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.noise import Noise
from nextset.objectives.any_order import costs
from nextset.orders import Plan
from nextset.orders.budget import even, policy, price
from nextset.tokenizers.pixel import Pixel

from . import Claim
from .maskgit import learned
from .md4 import mean_costs, table

CALLS, SIZE, PICTURES = 16, (8, 8), 256
FEW = (2, 3, 4, 5)
EVEN = functools.partial(even, 12)


def claims(steps: int = 450) -> Iterator[Claim]:
    """The bound by enumeration; then steps chosen on training pictures, judged on others."""
    by_masks, by_orders = bounds()
    yield Claim(
        "the mean cost of unknown sites, over how many are known, is the mean over orders of the chain rule",
        f"{by_masks:.9f} and {by_orders:.9f} nats a site over all 16 masks and all 24 orders of a toy",
        "equal to 1e-6",
        abs(by_masks - by_orders) < 1e-6,
    )
    exact = mean_costs(table())
    priced = [[price(exact, cut(calls)) for calls in FEW] for cut in (functools.partial(policy, exact), EVEN)]
    yield Claim(
        "on a joint table of 12 pixels of real digits, chosen steps cost less than even ones for every small budget",
        f"{_few(priced[0])} and {_few(priced[1])} nats for {_few(FEW)} calls, {sum(exact):.3f} for 12",
        "less, and never below the entropy",
        all(sum(exact) < chosen < even_steps for chosen, even_steps in zip(*priced, strict=True)),
    )
    model = learned("ardm/digits", steps)
    train, test = (next(once(open_dataset("digits", split), PICTURES, SIZE, 1)) for split in ("train", "test"))
    measured = costs(model.network, model.encode(train.images), train.labels)
    cuts = {"chosen": policy(measured.tolist(), CALLS), "even": even(64, CALLS), "all": (1,) * 64}
    each = {name: judged(model, test.images, test.labels, cut) for name, cut in cuts.items()}
    nats = {name: found.mean().item() for name, found in each.items()}
    gain = each["even"] - each["chosen"]
    error = (gain.std() / len(gain) ** 0.5).item()
    yield Claim(
        f"after {steps} steps, {CALLS} calls in chosen steps cost less than in even ones, and both nearly what 64 calls cost",
        f"{nats['chosen']:.4f}, {nats['even']:.4f} and {nats['all']:.4f} nats a pixel of unseen digits, "
        f"{gain.mean():.4f} gained with a standard error of {error:.4f}, steps {cuts['chosen']}",
        "more than 2 errors gained, and even steps less than 1% above 64 calls",
        gain.mean().item() > 2 * error and nats["even"] < 1.01 * nats["all"],
        f"after so little training a site costs {measured[0]:.2f} nats with none known and {measured[48:].mean():.2f} with the last "
        "quarter left, nearly on a line between, where equal steps are all but the best",
    )


def _few(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)


@torch.no_grad()
def bounds() -> tuple[float, float]:
    """Both sides for one picture of 2 x 2 pixels, under a network with random weights, by enumeration."""
    torch.manual_seed(0)
    model = replace(nextset.spec("ardm/tiny"), tokenizer=Pixel(3), size=(2, 2)).build().eval().double()
    for parameter in model.network.parameters():
        parameter.normal_(std=0.5)
    network, picture, label = model.network, torch.tensor([[0, 2, 1, 1]]), torch.tensor([1])
    masks = torch.tensor(list(itertools.product((False, True), repeat=4)))[:-1]
    rows, conditioning = picture.expand(len(masks), -1), network.condition(label.expand(len(masks)))
    losses = (network.head.loss(network.revealed(rows, masks, conditioning), rows) * ~masks).sum(1) / (~masks).sum(1)
    by_masks = torch.stack([losses[masks.sum(1) == known].mean() for known in range(4)]).mean()
    plans = [Plan(torch.tensor(perm), (1,) * 4) for perm in itertools.permutations(range(4))]
    by_orders = torch.stack([cost(model, picture, label, plan).mean() for plan in plans]).mean()
    return float(by_masks), float(by_orders)


def cost(model: Model, tokens: Tensor, labels: Tensor, plan: Plan) -> Tensor:
    """-ln p of every token in this order, (B, N)."""
    network = model.network
    hidden = network.hidden(tokens, network.condition(labels), plan)
    return -network.head.log_prob(hidden, plan.to_ranks(tokens))


@torch.no_grad()
def judged(model: Model, images: Tensor, labels: Tensor, cut: tuple[int, ...]) -> Tensor:
    """Nats a pixel of each picture (B,) in steps of these sizes; each picture has the same order whatever the steps."""
    order = Noise(0, range(len(images))).permutation(64)
    return cost(model, model.encode(images).data, labels, Plan(order, cut)).mean(1)
