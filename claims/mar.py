"""MAR (arXiv 2406.11838): a small diffusion model a token says what a regression cannot; sets in turn keep what all at once loses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

import nextset
from nextset import Model, Pick
from nextset.backbones import MaskedAutoencoder
from nextset.heads import Diffusion, HeadModule
from nextset.layout import Continuous, Tokens
from nextset.mixers import BiasedAttention
from nextset.nn.diffusion import Strided
from nextset.nn.masking import Cosine
from nextset.noise import Noise
from nextset.orders import Falling, Plan, Random
from nextset.tokenizers.patch import Patch

from . import Claim

DRAWN, SPREAD, ASKED, CORRELATION = 2000, 0.1, 0.5, 0.8


def claims(steps: int = 500) -> Iterator[Claim]:
    """The head alone on two modes; then a whole small MAR on correlated tokens, in turn and at once, from the same weights."""
    yield from alone(2 * steps)
    yield from sets(3 * steps)


def alone(steps: int) -> Iterator[Claim]:
    """Fits x = +-(1, z) with chances that depend on z, and asks at one z."""
    torch.manual_seed(0)
    head = Diffusion(64, 2, Strided(50)).build(1, Continuous(2), None)  # type: ignore[arg-type]
    regressor = nn.Sequential(nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, 2))
    fit(head, regressor, steps)
    z = torch.full((DRAWN, 1, 1), ASKED)
    full, half = (drawn(head, z, temperature) for temperature in (1.0, 0.5))
    with torch.no_grad():
        between = float((regressor(z[0, 0]) - (2 * chance(z[0, 0]) - 1) * mode(z[0, 0])).norm())
    share, wanted = (full[:, 0] > 0).double().mean().item(), float(chance(z[0, 0]))
    near = (distance(full) < 5 * SPREAD).double().mean().item()
    yield Claim(
        "the head alone recovers two modes of a token, where a regression gives the mean between them",
        f"{share:.1%} of draws in the first mode ({wanted:.0%} of the data), {near:.1%} in either; regression {between:.2f} from the mean",
        "within 5 points, over 97% in either, and within 0.1",
        abs(share - wanted) < 0.05 and near > 0.97 and between < 0.1,
    )
    spreads = [within(samples) for samples in (full, half)]
    yield Claim(
        "temperature 0.5 narrows the modes",
        f"deviation inside a mode {spreads[1]:.3f}, at temperature 1 {spreads[0]:.3f}, of the data {SPREAD}",
        "at most 0.8 of that at temperature 1",
        spreads[1] < 0.8 * spreads[0],
    )


def chance(z: Tensor) -> Tensor:
    """That of the first mode."""
    return 0.5 + 0.4 * z


def mode(z: Tensor) -> Tensor:
    """Where the first mode is, (..., 2); the second is its negative."""
    return torch.cat([torch.ones_like(z), z], -1)


def fit(head: HeadModule, regressor: nn.Module, steps: int) -> None:
    """Both on the same draws."""
    generator = torch.Generator().manual_seed(1)
    parameters = [*head.parameters(), *regressor.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        z = torch.rand(256, 1, 1, generator=generator) * 2 - 1
        sign = (torch.rand(z.shape, generator=generator) < chance(z)).float() * 2 - 1
        x = sign * mode(z) + SPREAD * torch.randn(256, 1, 2, generator=generator)
        loss = head.loss(z, x).mean() + (regressor(z) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def drawn(head: HeadModule, z: Tensor, temperature: float) -> Tensor:
    """Samples (B, 2)."""
    return head.sample(z, None, 1.0, head.draw(Noise(0, range(len(z))), 1), Pick(temperature))[:, 0]


def offsets(samples: Tensor) -> Tensor:
    """From the nearest mode, (B, 2)."""
    centre = mode(torch.tensor([ASKED]))
    return torch.where(samples[:, :1] > 0, samples - centre, samples + centre)


def distance(samples: Tensor) -> Tensor:
    """From the nearest mode, (B,)."""
    return offsets(samples).norm(dim=1)


def within(samples: Tensor) -> float:
    """The deviation inside modes, a coordinate, without the few draws between them."""
    near = offsets(samples)[distance(samples) < 5 * SPREAD]
    return near.square().mean().sqrt().item()


def sets(steps: int) -> Iterator[Claim]:
    """Four vectors of one number that are correlated, learned by a whole small MAR, drawn one after the other and at once."""
    torch.manual_seed(0)
    base = nextset.spec("mar/digits")
    system = replace(
        base,
        tokenizer=Patch(1),
        size=(2, 2),
        order=Random(4, Falling(Cosine())),
        backbone=MaskedAutoencoder(32, 1, BiasedAttention(2), prefix=base.condition.slots, dropout=0.0),
        head=Diffusion(48, 2, Strided(25)),
    )
    model = learned(system.build().train(), steps)
    yield blind(model)
    in_turn, at_once = (correlation(model, count) for count in (4, 1))
    yield Claim(
        "tokens drawn in turn are correlated as the data are; all at once, from the same weights, they are not",
        f"mean correlation {in_turn:.2f} in 4 steps, {at_once:.2f} in 1, of the data {CORRELATION}",
        "within 0.1, and under 0.3",
        abs(in_turn - CORRELATION) < 0.1 and abs(at_once) < 0.3,
    )


def correlated(count: int, generator: torch.Generator) -> Tensor:
    """Tokens (B, 4, 1) of unit variance: one number in common, and one each."""
    common = torch.randn(count, 1, 1, generator=generator) * CORRELATION**0.5
    return common + torch.randn(count, 4, 1, generator=generator) * (1 - CORRELATION) ** 0.5


def learned(model: Model, steps: int) -> Model:
    """After so many fresh batches."""
    generator = torch.Generator().manual_seed(2)
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        tokens = Tokens(correlated(128, generator), model.system.layout)
        optimizer.zero_grad()
        model.loss(tokens, torch.zeros(128, dtype=torch.int64), seed=step)["loss"].backward()
        nn.utils.clip_grad_norm_(model.network.parameters(), 3.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def correlation(model: Model, steps: int) -> float:
    """The mean over pairs of sites."""
    model.system = replace(model.system, order=Random(steps, Falling(Cosine())))
    *_, last = model.stream(torch.zeros(DRAWN, dtype=torch.int64), seed=1, guidance=1.0)
    found = last.decoding.tokens.data[..., 0].T.corrcoef()
    return float((found.sum() - found.trace()) / (found.numel() - len(found)))


@torch.no_grad()
def blind(model: Model) -> Claim:
    """Perturbs what is not yet known, step by step."""
    tokens, network = correlated(8, torch.Generator().manual_seed(3)), model.network
    conditioning = network.condition(torch.zeros(8, dtype=torch.int64))
    plan: Plan = network.plan(0, len(tokens), model.device)
    moved = []
    for step, start in enumerate(plan.starts[:-1]):
        late = plan.to_sites(torch.arange(tokens.shape[1]).ge(start).expand(len(tokens), -1))
        others = torch.where(late[..., None], torch.randn_like(tokens), tokens)
        pair = [network.hidden_at(step, given, conditioning, plan) for given in (tokens, others)]
        moved.append((pair[0] - pair[1]).abs().max().item())
    return Claim(
        "values of unknown tokens change nothing that is predicted",
        f"hidden vectors move by at most {max(moved)} in {len(moved)} steps",
        "exactly 0",
        max(moved) == 0,
    )
