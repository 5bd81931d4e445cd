"""MAR (arXiv 2406.11838): a small diffusion model a token says what a regression cannot; sets in turn keep what all at once loses."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

import nextset
from nextset import Model, Pick
from nextset.backbones import MaskedAutoencoder
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.evaluate import trained
from nextset.evaluate.frechet import Moments, frechet
from nextset.heads import Diffusion, HeadModule
from nextset.layout import Continuous
from nextset.mixers import BiasedAttention
from nextset.nn.diffusion import Strided
from nextset.noise import Noise
from nextset.orders import Cosine, Plan
from nextset.train import Recipe, set_up_generator

from . import Claim

DRAWN, SPREAD, ASKED = 500, 0.1, 0.5
ITEMS = 360


def claims(steps: int = 500) -> Iterator[Claim]:
    """The head alone on two modes; then digits as 16 vectors each, in 16 steps and in one, from the same weights."""
    yield from alone(2 * steps)
    yield from digits(steps)


def alone(steps: int) -> Iterator[Claim]:
    """Fits x = +-(1, z) with chances that depend on z, and asks at one z."""
    torch.manual_seed(0)
    head = Diffusion(64, 2, Strided(50)).build(1, Continuous(2), None)  # type: ignore[arg-type]
    regressor = nn.Sequential(nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, 2))
    fit(head, regressor, steps)
    z = torch.full((2000, 1, 1), ASKED)
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


def digits(steps: int) -> Iterator[Claim]:
    """A smaller `mar/digits`, so that it learns within a minute."""
    base = nextset.spec("mar/digits")
    system = replace(
        base,
        backbone=MaskedAutoencoder(64, 2, BiasedAttention(4), prefix=base.condition.slots, dropout=0.0),
        head=Diffusion(96, 2, base.head.spacing, copies=2),  # type: ignore[attr-defined],
    )
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, lr=3e-3, ema=0.99, weight_decay=0.0)
        set_up_generator(system, "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        model = nextset.load(Path(folder) / "run")
    yield blind(model)
    many, one = (distance_to_real(model, count) for count in (16, 1))
    yield Claim(
        f"after {steps} steps, 16 sets in turn draw digits nearer to real ones than all 16 patches at once, from the same weights",
        f"Frechet distance in a classifier's features {many:.1f} and {one:.1f}",
        "less than half",
        many < 0.5 * one,
    )


@torch.no_grad()
def blind(model: Model) -> Claim:
    """Perturbs what is not yet known, step by step."""
    batch = next(once(open_dataset("digits", "test"), 8, (8, 8), 1))
    tokens, network = model.encode(batch.images).data, model.network
    conditioning = network.condition(batch.labels)
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


def distance_to_real(model: Model, steps: int) -> float:
    """Frechet distance between drawn digits and unseen real ones."""
    model.system = replace(model.system, order=Cosine(steps))
    judge, batch = trained("digits"), next(once(open_dataset("digits", "test"), ITEMS, (8, 8), 1))
    pictures = model.generate(torch.arange(DRAWN) % 10, seed=1, guidance=1.0)
    moments = [Moments(judge.dim), Moments(judge.dim)]
    for found, images in zip(moments, (batch.images, pictures), strict=True):
        found.add(judge.features(images))
    return frechet(*moments)
