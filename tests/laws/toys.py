"""Small systems with lively weights, on which laws can be checked exactly: those of the catalogue, one with every other part, and some
of parts that no system has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, System, catalogue
from nextset.backbones import Backbone, TwoPass
from nextset.conditions import Condition, Text, Words
from nextset.decode import Constant, Guidance, Pick, decode
from nextset.decode.loop import Clamp
from nextset.heads import Ask, Head, Noisy
from nextset.layout import Continuous, Discrete, Tokens, blank
from nextset.mixers import Attention, Mamba2, Mixer
from nextset.nn.embedding import CodeVectors
from nextset.noise import Noise
from nextset.objectives import Captioned, NextPatch, NextSet, Objective
from nextset.orders import Order, Plan, Random
from nextset.spec import Spec
from nextset.tokenizers.base import Tokenizer
from nextset.tokenizers.bsq import MultiScaleBSQ
from nextset.tokenizers.multiscale import MultiScaleVQ
from nextset.tokenizers.pixel import Pixel
from nextset.tokenizers.rq import RQ
from nextset.tokenizers.scalable import ScalableVQ
from nextset.tokenizers.titok import TiTok
from nextset.tokenizers.vq import VQ
from nextset.wirings import Directed, Instructions, Mutual, Queries, Shift, Targeted, Wiring

from .own import Growing
from .parts import TOYS, accepts
from .requests import asked

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
    if isinstance(part, Words) and part.predicted:
        return None  # its classifier learns under objective Captioned alone: SETS has both
    if isinstance(part, Tokenizer) and not part.paints:
        return None
    system = replace(BASE, **{place: fitted})  # type: ignore[arg-type]
    return system if accepts(system.network) else None


MIXED = {f"llamagen+{type(part).__name__}{i}": system for i, part in enumerate(TOYS) if (system := _with(part))}
CODED = VQ(8, 4, 8, (1, 2), blocks=1, latent=8, groups=4)
READERS = TwoPass(16, 4, Attention(2), 2, hidden_multiple=16)
SETS = {
    "codes": replace(BASE, tokenizer=CODED, size=(4, 4), wiring=Directed(CodeVectors())),
    "readouts-alone": replace(catalogue.spec("dnd-transformer/tiny"), wiring=Shift()),
    "captioned": replace(BASE, condition=Words(5, 3, None, predicted=True), objective=Captioned(0.5)),
    "sets": replace(BASE, order=Growing(), wiring=Queries()),
    "sets+instructions": replace(BASE, order=Growing(), wiring=Instructions(2)),
    "targeted+text": replace(BASE, order=Random(), wiring=Targeted(), condition=Text(6, 4)),
    "sets+text": replace(BASE, order=Growing(), wiring=Queries(), condition=Text(6, 4)),
    "sets+readers": replace(BASE, order=Growing(), wiring=Queries(), backbone=READERS),
    "sets+mutual": replace(BASE, order=Growing(), wiring=Queries(Mutual()), backbone=READERS),
    "sets+readers+text": replace(BASE, order=Growing(), wiring=Queries(), backbone=READERS, condition=Text(6, 4)),
    "sets+readers+mamba": replace(
        BASE, order=Growing(), wiring=Queries(), backbone=replace(READERS, mixer=Mamba2(4, 8, chunk=3))
    ),
}
SYSTEMS = (*catalogue.names(), *MIXED, *SETS)


def tiny(name: str) -> System:
    """What the tests build of a system; unguided where there is nothing to guide against."""
    system = {**MIXED, **SETS}.get(name) or catalogue.spec(f"{name}/tiny")
    return replace(system, guidance=system.guidance if guidable(system) else Constant(1.0))


def _few_codes(system: System) -> System:
    """Two sites of two codes out of three, or four sites of one."""
    assert isinstance(system.tokenizer, RQ)
    stride, codes = system.tokenizer.stride, min(system.tokenizer.codes, 2)
    tokenizer = replace(system.tokenizer, vocab=LEVELS, codes=codes)
    return replace(system, tokenizer=tokenizer, size=(2 * stride // codes, 2 * stride))


# how to make a tokenizer's alphabet and layout small enough to enumerate, where it is not a grid of single ids
SHRUNK: dict[type[Tokenizer], Callable[[System], System]] = {
    VQ: lambda system: replace(
        system,
        tokenizer=replace(system.tokenizer, vocab=LEVELS),  # type: ignore[call-arg]
        size=(SIDE * system.tokenizer.stride, SIDE * system.tokenizer.stride),  # type: ignore[attr-defined]
    ),
    TiTok: lambda system: replace(system, tokenizer=replace(system.tokenizer, vocab=LEVELS, sites=SIDE**2)),  # type: ignore[call-arg]
    RQ: _few_codes,
    MultiScaleVQ: lambda system: _scaled(system, vocab=LEVELS),
    MultiScaleBSQ: lambda system: _few_bits(system),
    ScalableVQ: lambda system: _scaled(system, base=replace(system.tokenizer.base, vocab=LEVELS)),  # type: ignore[attr-defined]
}


def _scaled(system: System, **changes: Any) -> System:
    """On sides 1 and 2 alone: 5 sites of 3 tokens, 243 pictures."""
    tokenizer: Any = replace(system.tokenizer, sides=(1, SIDE), **changes)
    stride = tokenizer.base.stride if isinstance(tokenizer, ScalableVQ) else tokenizer.stride
    return replace(system, tokenizer=tokenizer, size=(SIDE * stride, SIDE * stride))


def _few_bits(system: System) -> System:
    """Two bits a token on sides 1 and 2: 5 sites, 1024 pictures."""
    assert isinstance(system.tokenizer, MultiScaleBSQ)
    tokenizer = replace(system.tokenizer, dim=2, sides=((1, 1), (SIDE, SIDE)))
    return replace(system, tokenizer=tokenizer, size=(SIDE * tokenizer.pixels, SIDE * tokenizer.pixels))


def toy(name: str) -> System:
    """The tiny system on so few sites of so few tokens that all pictures can be listed: 2 x 2 of 3 unless it needs others."""
    system = tiny(name)
    if isinstance(system.tokenizer.unit, Continuous):
        pytest.skip("only finite alphabets can be listed")
    shrink = SHRUNK.get(type(system.tokenizer))
    return shrink(system) if shrink else replace(system, tokenizer=Pixel(LEVELS), size=(SIDE, SIDE))


def guidable(system: System) -> bool:
    """Whether guidance means anything."""
    return system.condition.guidable


def editable(system: System) -> bool:
    """Whether sites have a place in the picture, so that some can be kept."""
    return system.layout.axes[-2:] == ("y", "x")


def likelihood(system: System) -> bool:
    """Whether the loss is the negative log-likelihood."""
    return isinstance(system.objective, NextSet | NextPatch)


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
    vectors = isinstance(system.tokenizer.unit, Continuous)  # no softmax keeps them in the range of pixels
    model = excite(system.build(), std=0.1 if vectors else 0.4)
    return model.double() if double else model


def all_tokens(system: System) -> Tensor:
    """The tokens of all pictures of a toy (M, N) or (M, N, Q)."""
    unit, sites = system.tokenizer.unit, system.layout.sites
    assert isinstance(unit, Discrete)
    rows = torch.tensor(list(itertools.product(range(unit.vocab), repeat=sites * unit.codes)))
    assert len(rows) < 2000, "a toy is small enough to enumerate"
    return rows if unit.codes == 1 else rows.unflatten(1, (sites, unit.codes))


def place(system: System, tokens: Tensor) -> Tensor:
    """The rows of `all_tokens` that tokens (B, N, ...) are, (B,)."""
    unit, flat = system.tokenizer.unit, tokens.flatten(1)
    assert isinstance(unit, Discrete)
    return (flat * unit.vocab ** torch.arange(flat.shape[1] - 1, -1, -1)).sum(1)


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


def same(model: Model, ours: Tensor, theirs: Tensor) -> bool:
    """Whether these are the same pictures: to the bit where tokens are ids, which hide rounding; vectors show how products are cut."""
    if isinstance(model.system.tokenizer.unit, Discrete):
        return torch.equal(ours, theirs)
    return torch.allclose(ours, theirs, rtol=0, atol=1e-4)


def noisy_tokens(model: Model, batch: int, plan: Plan) -> Noisy | None:
    """Fixed noisy tokens by rank, each step at a level of its own, where tokens are vectors; wirings without such slots read none."""
    unit = model.system.tokenizer.unit
    if isinstance(unit, Discrete):
        return None
    generator = torch.Generator().manual_seed(1)
    levels = torch.rand(batch, len(plan.sizes), generator=generator)
    values = torch.randn(batch, sum(plan.sizes), unit.dim, generator=generator)
    return Noisy(
        values.to(next(model.network.parameters()).dtype), levels.repeat_interleave(torch.tensor(plan.sizes), 1)
    )


def part_of(noisy: Noisy | None, ranks: Tensor) -> Noisy | None:
    """Those of some ranks."""
    return noisy and Noisy(noisy.values[:, ranks], noisy.level[:, ranks])


def conditions(model: Model, batch: int) -> Tensor:
    """Prepared conditions that differ along the batch where the system has any."""
    return model.network.condition.prepare(asked(model.system.condition, batch), batch, torch.device("cpu"))


Halves = tuple[Tensor, Tensor | None]  # hidden vectors (B, N, W) by rank, and unguided ones


def teacher_forced(model: Model, tokens: Tensor, condition: Tensor, plan: Plan, guided: bool) -> Halves:
    """What the head is given for all sites, in one pass; the second half where `guided`."""
    network, part, noisy = model.network, model.network.condition, noisy_tokens(model, len(tokens), plan)
    asked = network.hidden(tokens, part(condition), plan, noisy)
    return asked, network.hidden(tokens, part.null(condition), plan, noisy) if guided else None


def drawn_plan(model: Model, seed: int, batch: int) -> Plan:
    """The plan that a batch is drawn in."""
    return model.system.order.plan(model.system.layout, Noise(seed, range(batch)))


def each_order(model: Model, seed: int, batch: int) -> Iterator[tuple[Plan, int]]:
    """The orders that a batch is drawn in, one plan (N,) each, and how many of the samples have it."""
    plan = drawn_plan(model, seed, batch)
    if plan.perm.ndim == 1:
        yield plan, batch
    else:
        for perm, count in zip(*plan.perm.unique(dim=0, return_counts=True), strict=True):
            yield Plan(perm, plan.sizes), int(count)


def incremental(model: Model, tokens: Tensor, condition: Tensor, guidance: Guidance, plan: Plan) -> list[Halves]:
    """What the head is given in each step of the engine, through the cache, when every token is given."""
    return [halves[0] for halves in asked_again(model, tokens, condition, guidance, plan, 1)]


def asked_again(
    model: Model, tokens: Tensor, condition: Tensor, guidance: Guidance, plan: Plan, times: int
) -> list[list[Halves]]:
    """The same for a head that asks the network so many times in each step."""
    network, layout, unit = model.network, model.system.layout, model.system.tokenizer.unit
    noisy, seen = noisy_tokens(model, len(tokens), plan), []

    def read(code: int, hidden: Tensor, unguided: Tensor | None) -> Tensor:
        return torch.zeros(hidden.shape[:2], dtype=torch.int64)  # what is given takes its place

    def answer(ask: Ask, scale: float, ranks: Tensor, pick: object) -> Tensor:
        seen.append([ask(part_of(noisy, ranks[0]), read) for _ in range(times)])
        return torch.zeros_like(tokens[:, : ranks.shape[1]])

    given = Clamp(torch.ones(len(tokens), layout.sites, dtype=torch.bool), tokens)
    start, drawn = blank(unit, layout, len(tokens), tokens.device), torch.arange(layout.sites).expand(len(tokens), -1)
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(network.head, "answer", answer)
        guided = any(scale != 1 for scale in guidance.scales(plan.sizes))
        both = network.condition(condition), network.condition.null(condition) if guided else None
        for _ in decode(network, plan, start, both, guidance, Pick(), drawn, given):
            pass
    assert torch.equal(start.data, tokens)
    return seen


def assert_drawn_from(counts: Tensor, expected: Tensor) -> None:
    """Chi-square of `counts` against `expected` counts of the same draws; cells that expect fewer than 5 are pooled."""
    likely = expected >= 5
    observed = torch.cat([counts[likely], counts[~likely].sum()[None]]).double()
    wanted = torch.cat([expected[likely], expected[~likely].sum()[None]]).double()
    statistic, freedom = ((observed - wanted) ** 2 / wanted.clamp(min=1e-3)).sum(), int(likely.sum())
    assert freedom >= 3, "the distribution is too peaked for the test to mean anything"
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5 + 4  # more than 4 sigma: p < 1e-3 at these sizes
