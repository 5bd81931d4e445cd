"""Requests that come at random: one running batch (`nextset.Engine`) against one picture after the other (`Model.stream`).

Arrivals are Poisson, so fast that the second server never catches up. Time is counted, not waited for: a server's clock goes on by the
seconds that it computes, and jumps to the next arrival where there is nothing to do. Both write tokens, and no pixel is painted. The limit
counts each weight once a step of one request, and the products of all (two of three requests are guided, which doubles theirs).
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from nextset import Engine, Model, Pick, System, spec
from nextset.account import account
from nextset.conditions import Label
from nextset.errors import NextsetError
from nextset.heads import Categorical
from nextset.tokenizers.vq import VQ

from . import MILLISECONDS, Case, Row
from .machine import Machine
from .variants import weight_bytes

T = TypeVar("T")
AGREEING = 0.9  # products of other shapes round differently, and one token in a great many is drawn at such a distance
LOAD = 8.0  # requests that come while one picture is drawn alone
SCALES = (1.0, 2.0, 4.0)
PICKS = (Pick(), Pick(top_k=1000), Pick(0.9))


@dataclass(frozen=True)
class Request:
    """What is asked, as `Engine.submit` takes it, and the second at which it comes."""

    asked: dict[str, Any]
    arrival: float


@dataclass(frozen=True)
class Served:
    """The tokens of every request, its seconds from arrival to the end, and the second at which the last was done."""

    tokens: list[Tensor]
    latencies: list[float]
    end: float


def system(quick: bool) -> System:
    """LlamaGen-B, or a tiny one: random output weights, so that tokens differ, and a tokenizer that weighs little and is not run."""
    if quick:
        return replace(spec("llamagen/tiny"), head=Categorical(std=0.5))
    light = VQ(16384, 8, width=32, multipliers=(1, 1, 1, 1, 1), blocks=1, latent=32)
    return replace(spec("llamagen/b"), tokenizer=light, head=Categorical(std=0.02))


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """What `run` gives, and its seconds."""
    start = time.perf_counter()
    found = run()
    return found, time.perf_counter() - start


def requests(count: int, classes: int, rate: float, seed: int) -> list[Request]:
    """Requests of all kinds, `rate` of which come a second."""
    chance, now, found = random.Random(seed), 0.0, []
    for index in range(count):
        now += chance.expovariate(rate)
        kinds = {"guidance": chance.choice(SCALES), "pick": chance.choice(PICKS)}
        found.append(Request({"condition": chance.randrange(classes), "seed": seed, "first": index, **kinds}, now))
    return found


def alone(model: Model, asked: dict[str, Any]) -> Tensor:
    """The tokens (1, N) of one request."""
    *_, last = model.stream(**asked)
    return last.decoding.tokens.data


def one_by_one(model: Model, coming: Sequence[Request]) -> Served:
    """Each request from beginning to end, in the order of arrival."""
    now, tokens, latencies = 0.0, [], []
    for request in coming:
        found, seconds = timed(lambda asked=request.asked: alone(model, asked))  # type: ignore[misc]
        now = max(now, request.arrival) + seconds
        tokens.append(found)
        latencies.append(now - request.arrival)
    return Served(tokens, latencies, now)


def together(engine: Engine, coming: Sequence[Request]) -> Served:
    """All that have come share one batch."""
    now, ahead, places = 0.0, list(enumerate(coming)), {}
    done: dict[int, tuple[Tensor, float]] = {}
    while ahead or engine.live or engine.waiting:
        if not engine.live and not engine.waiting:
            now = max(now, ahead[0][1].arrival)
        while ahead and ahead[0][1].arrival <= now:
            place, request = ahead.pop(0)
            ticket, seconds = timed(lambda asked=request.asked: engine.submit(**asked))  # type: ignore[misc]
            places[ticket], now = place, now + seconds
        ready, seconds = timed(engine.step)
        now += seconds
        for ticket, partial in ready:
            place = places[ticket]
            done[place] = partial.decoding.tokens.data, now - coming[place].arrival
    found = [done[place] for place in range(len(coming))]
    return Served([tokens for tokens, _ in found], [latency for _, latency in found], now)


def rows(machine: Machine, quick: bool, only: str = "") -> Iterator[Row]:
    """LlamaGen-B as it is, and for inference; both servers have the same model. Raises NextsetError where tokens differ."""
    torch.manual_seed(0)
    model = system(quick).build().eval()
    count, room = (8, 4) if quick else (8, 32)
    if only in "float32":  # narrower products round by how many rows there are, and others are drawn then
        yield compare(model.for_inference(), count, room, machine)


def compare(model: Model, count: int, room: int, machine: Machine) -> Row:
    """Serves the same requests twice."""
    first: dict[str, Any] = {"condition": 0, "guidance": 2.0}
    for _ in itertools.islice(model.stream(**first), 2):
        pass
    rate = LOAD / timed(lambda: alone(model, first))[1]
    condition = model.system.condition
    assert isinstance(condition, Label)
    coming = requests(count, condition.classes, rate, seed=0)
    ours, theirs = together(Engine(model, room), coming), one_by_one(model, coming)
    same = sum(torch.equal(a, b) for a, b in zip(ours.tokens, theirs.tokens, strict=True))
    if same < AGREEING * count:
        raise NextsetError(f"only {same} of {count} requests got the same tokens from both; the times mean nothing")
    both = [[served.end - coming[0].arrival] for served in (ours, theirs)]
    latency, waited = (statistics.mean(served.latencies) for served in (ours, theirs))
    note = f"{same} of {count} the same; mean latency {latency:.1f} s, one by one {waited:.1f} s"
    case = Case(
        "continuous", f"{count} requests, {LOAD:g} in the time of one", MILLISECONDS, "float32", "one by one", note
    )
    tokens, network, costs = count * model.system.layout.sites, model.network, account(model.system)
    least = machine.limit(
        costs.steps * weight_bytes(network.backbone, network.head), 5 / 3 * count * costs.multiply_adds
    )
    return Row.of(case, tokens, both[0], both[1], least)
