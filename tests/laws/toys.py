"""Small systems with lively weights, on which laws can be checked exactly: those of the catalogue, one with every other part, and some
of parts that no system has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from nextset import Model, System, catalogue
from nextset.backbones import Backbone
from nextset.conditions import Condition, Text, Unconditional
from nextset.decode import Constant, Guidance, decode
from nextset.decode.loop import Clamp
from nextset.heads import Head
from nextset.layout import Discrete, Tokens
from nextset.mixers import Mixer
from nextset.objectives import NextSet, Objective
from nextset.orders import Order, Plan
from nextset.spec import Spec
from nextset.tokenizers.base import Tokenizer
from nextset.tokenizers.pixel import Pixel
from nextset.wirings import Instructions, Wiring

from .own import Growing, Queries
from .parts import TOYS, accepts, asked

LEVELS, SIDE = 3, 2
BASE = catalogue.spec("llamagen/tiny")


PLACES = {
    "tokenizer": Tokenizer,
    "order": Order,
    "wiring": Wiring,
    "backbone": Backbone,
    "head": Head,
    "condition": Condition,
    "objective": Objective,
}


def _with(part: Spec) -> System | None:
    """The base system with `part` in the place of its like; None where it has that one already, or where it does not fit."""
    fitted = replace(BASE.backbone, mixer=part) if isinstance(part, Mixer) else part  # type: ignore[call-arg]
    place = next((name for name, kind in PLACES.items() if isinstance(fitted, kind)), None)
    if place is None or getattr(BASE, place) == fitted:
        return None
    system = replace(BASE, **{place: fitted})  # type: ignore[arg-type]
    return system if accepts(system.network) else None


MIXED = {f"llamagen+{type(part).__name__}{i}": system for i, part in enumerate(TOYS) if (system := _with(part))}
SETS = {
    "sets": replace(BASE, order=Growing(), wiring=Queries()),
    "sets+instructions": replace(BASE, order=Growing(), wiring=Instructions(2)),
    "sets+text": replace(BASE, order=Growing(), wiring=Queries(), condition=Text(6, 4)),
}
SYSTEMS = (*catalogue.names(), *MIXED, *SETS)


def tiny(name: str) -> System:
    """What the tests build of a system; unguided where there is nothing to guide against."""
    system = {**MIXED, **SETS}.get(name) or catalogue.spec(f"{name}/tiny")
    return replace(system, guidance=system.guidance if guidable(system) else Constant(1.0))


def toy(name: str) -> System:
    """The tiny system on 2 x 2 sites of 3 tokens: 81 images, few enough to enumerate."""
    return replace(tiny(name), tokenizer=Pixel(LEVELS), size=(SIDE, SIDE))


def guidable(system: System) -> bool:
    """Whether guidance means anything."""
    return not isinstance(system.condition, Unconditional)


def likelihood(system: System) -> bool:
    """Whether the loss is the negative log-likelihood."""
    return isinstance(system.objective, NextSet)


def excite(model: Model, seed: int = 0, std: float = 0.4) -> Model:
    """Gives every weight a random value, so that no law holds merely because a layer starts at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std + (parameter.ndim == 1))
    return model.eval()


def lively(system: System, double: bool = False) -> Model:
    """The excited model of a system, in float64 where exactness is asked."""
    torch.manual_seed(0)
    model = excite(system.build())
    return model.double() if double else model


def all_images() -> Tensor:
    """The 81 images of a toy as ids (81, 4)."""
    return torch.tensor(list(itertools.product(range(LEVELS), repeat=SIDE * SIDE)))


def random_tokens(model: Model, batch: int, seed: int = 0) -> Tensor:
    """Random tokens (B, N, ...) of the model's alphabet."""
    generator = torch.Generator().manual_seed(seed)
    unit, sites = model.system.tokenizer.unit, model.system.layout.sites
    if isinstance(unit, Discrete):
        shape = (batch, sites) if unit.codes == 1 else (batch, sites, unit.codes)
        return torch.randint(unit.vocab, shape, generator=generator)
    return torch.randn(batch, sites, unit.dim, generator=generator, dtype=next(model.network.parameters()).dtype)


def random_images(model: Model, batch: int, seed: int = 0) -> Tensor:
    """Random images (B, C, H, W) that the tokenizer can draw."""
    return model.decode(Tokens(random_tokens(model, batch, seed), model.system.layout)).float()


def conditions(model: Model, batch: int) -> Tensor:
    """Prepared conditions that differ along the batch where the system has any."""
    return model.network.condition.prepare(asked(model.system.condition, batch), batch, torch.device("cpu"))


class Recorder:
    """A picker that notes the logits it is given."""

    temperature = 1.0

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        self.seen.append(logits)
        return logits.argmax(-1)


def teacher_forced(model: Model, tokens: Tensor, condition: Tensor, guidance: Guidance, plan: Plan) -> Tensor:
    """Guided logits u + s (c - u), (B, N, V), of all sites in one pass, by rank."""
    network, part = model.network, model.network.condition
    asked = network.head.logits(network.hidden(tokens, part(condition), plan))
    scales = torch.tensor(guidance.scales(plan.sizes), dtype=asked.dtype)
    if scales.eq(1).all():
        return asked
    unasked = network.head.logits(network.hidden(tokens, part.null(condition), plan))
    by_rank = scales.repeat_interleave(torch.tensor(plan.sizes)).reshape(1, -1, *[1] * (asked.ndim - 2))
    return torch.where(by_rank == 1, asked, unasked + by_rank * (asked - unasked))


def each_order(model: Model, seed: int, batch: int) -> Iterator[tuple[Plan, int]]:
    """The orders that a batch is drawn in, one plan (N,) each, and how many of the samples have it."""
    plan = model.network.plan(seed, batch, torch.device("cpu"))
    if plan.perm.ndim == 1:
        yield plan, batch
    else:
        for perm, count in zip(*plan.perm.unique(dim=0, return_counts=True), strict=True):
            yield Plan(perm, plan.sizes), int(count)


def incremental(model: Model, tokens: Tensor, condition: Tensor, guidance: Guidance, plan: Plan) -> Tensor:
    """The same logits as the engine sees them, step by step through the cache, when every token is given."""
    network, layout, recorder = model.network, model.system.layout, Recorder()
    given = Clamp(torch.ones(len(tokens), layout.sites, dtype=torch.bool), tokens)
    with torch.inference_mode():
        guided = any(scale != 1 for scale in guidance.scales(plan.sizes))
        both = network.condition(condition), network.condition.null(condition) if guided else None
    start, drawn = Tokens(torch.zeros_like(tokens), layout), torch.zeros(len(tokens), layout.sites)
    for _ in decode(network, plan, start, both, guidance, recorder, drawn, given):
        pass
    assert torch.equal(start.data, tokens)
    return torch.cat(recorder.seen, dim=1)


def assert_drawn_from(counts: Tensor, expected: Tensor) -> None:
    """Chi-square of `counts` against `expected` counts of the same draws; cells that expect fewer than 5 are pooled."""
    likely = expected >= 5
    observed = torch.cat([counts[likely], counts[~likely].sum()[None]]).double()
    wanted = torch.cat([expected[likely], expected[~likely].sum()[None]]).double()
    statistic, freedom = ((observed - wanted) ** 2 / wanted.clamp(min=1e-3)).sum(), int(likely.sum())
    assert freedom >= 3, "the distribution is too peaked for the test to mean anything"
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5 + 4  # more than 4 sigma: p < 1e-3 at these sizes
