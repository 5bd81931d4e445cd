"""What a system costs, counted on the meta device: no weights are made and nothing is computed.

Multiply-adds are those of matrix products, convolutions and attention, as torch's own counter sees them. Calls of one shape
cost a parabola at most in the number of slots that the cache holds, or that are known where every step is encoded afresh, so a few are
counted and the others lie between them.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .conditions import Condition
from .heads import HeadModule, Noisy
from .heads.base import Read
from .layout import Discrete, blank
from .mixers import EXACT, Cache, Int8, Keeping
from .noise import Noise
from .orders import Adaptive, Plan
from .slots import BLANK, PREFIX, Mask, Slots
from .system import Network, System
from .wirings.base import Call

META = torch.device("meta")
HALF = torch.bfloat16


@dataclass(frozen=True)
class Account:
    """Figures of one system.

    `tokens` counts ids, or vectors, over all sites. `multiply_adds` are those of drawing one unguided image with a cache (every
    slot once, every query against all that the cache then holds; a guided step costs twice as much), `decoder_multiply_adds`
    those of turning its tokens into pixels. The cache is that of one image, under `EXACT` unless its field says int8; `cache_read`
    says what the last step and all steps together read of it (`caching`).
    """

    parameters: int
    tokenizer_parameters: int
    sites: int
    tokens: int
    steps: int
    multiply_adds: int
    decoder_multiply_adds: int
    cache_bytes_float32: int
    cache_bytes_bfloat16: int
    cache_bytes_int8: int
    cache_read_last_bfloat16: int
    cache_read_total_bfloat16: int


@dataclass(frozen=True)
class Caching:
    """Bytes of the cache of one unguided image, and those that each step reads of what earlier calls kept (a guided step twice as many).

    Read is what is stored, once a layer and asking of the network, whatever masks hide; copies in another dtype come on top.
    """

    bytes: int
    reads: tuple[int, ...]


def account(system: System) -> Account:
    """All figures of a system. Raises UsageError where its parts do not fit."""
    with META:
        tokenizer = system.tokenizer.build().eval()
        network = system.network(tokenizer).eval()
    drawing = _Drawing(network)
    wide, narrow, int8 = (drawing.caching(*how) for how in ((EXACT, torch.float32), (EXACT, HALF), (Int8(), HALF)))
    unit, sites = system.tokenizer.unit, system.layout.sites
    return Account(
        parameters=count(network),
        tokenizer_parameters=count(tokenizer),
        sites=sites,
        tokens=sites * (unit.codes if isinstance(unit, Discrete) else 1),
        steps=len(drawing.plan.sizes),
        multiply_adds=drawing.multiply_adds(),
        decoder_multiply_adds=multiply_adds(lambda: tokenizer.decode(drawing.tokens)),
        cache_bytes_float32=wide.bytes,
        cache_bytes_bfloat16=narrow.bytes,
        cache_bytes_int8=int8.bytes,
        cache_read_last_bfloat16=narrow.reads[-1],
        cache_read_total_bfloat16=sum(narrow.reads),
    )


def caching(system: System, keeping: Keeping, dtype: torch.dtype = HALF) -> Caching:
    """What `keeping` makes of the cache of a system with weights of `dtype`. Raises UsageError where its parts do not fit."""
    with META:
        network = system.network(system.tokenizer.build().eval()).eval()
    return _Drawing(network).caching(keeping, dtype)


def count(module: nn.Module) -> int:
    """Parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def multiply_adds(run: Callable[[], Any]) -> int:
    """Multiply-adds of what `run` computes; a mask saves nothing, since the plain products are counted."""
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


class _Drawing:
    """The decoding of one image on the meta device, call by call."""

    def __init__(self, network: Network) -> None:
        system = self.system = network.system
        self.network, self.width, sites = network, system.backbone.width, system.layout.sites
        self.plan = Plan(torch.empty(sites, dtype=torch.int64, device=META), system.order.sizes(system.layout))
        self.script = network.script(self.plan.sizes, META)
        self.tokens = blank(system.tokenizer.unit, system.layout, 1, META)
        self.sampling: dict[int, int] = {}
        self.asked: dict[tuple[int, ...], int] = {}
        self.prepared = _nothing_asked(system.condition, self.width)
        with torch.inference_mode():
            self.conditioning = network.condition(self.prepared)
            self.drawn = network.head.draw(Noise(0, range(1), META), sites)

    def multiply_adds(self) -> int:
        """Over all calls and the condition."""
        asked = multiply_adds(lambda: self.network.condition(self.prepared))
        if isinstance(self.system.order, Adaptive):
            return asked + len(self.plan.sizes) * multiply_adds(self._look)
        kinds: dict[tuple[int, ...], tuple[dict[int, int], list[int]]] = {}
        held, afresh = 0, self.system.wiring.afresh
        for index, call in enumerate(self.script.steps):
            known = int((call.table.holds >= 0).sum())
            indices, places = kinds.setdefault((*_kind(call), 0 if afresh else known), ({}, []))
            places.append(known if afresh else held)
            indices[places[-1]] = index
            held += call.keep
        steps = sum(
            _total(lambda place, at=indices: self._cost(at[place], 0 if afresh else place), places)  # type: ignore[misc]
            for indices, places in kinds.values()
        )
        return steps + asked

    def _look(self) -> None:
        """One step of an order that chooses while it decodes: all sites are drawn."""
        head, known = self.network.head, torch.zeros(self.tokens.data.shape[:2], dtype=torch.bool, device=META)
        hidden = self.network.revealed(self.tokens.data, known, self.conditioning)
        confident = isinstance(self.system.order, Adaptive) and self.system.order.confident
        (head.rated if confident else head.sample)(hidden, None, 1.0, self.drawn, self.system.pick)

    def caching(self, keeping: Keeping, dtype: torch.dtype) -> Caching:
        """Bytes held once every call has found room, and read step by step."""
        cache = self._cache(dtype, keeping)
        if cache is None:
            return Caching(0, (0,) * len(self.plan.sizes))
        reads, held = [], 0
        for index, call in enumerate(self.script.steps):
            passing = len(call.table) if self.network.backbone.passing else int((call.table.holds != BLANK).sum())
            cache.reserve(held, passing)
            first, held = cache.read(held), held + call.keep
            reads.append(first + (self._asked(index) - 1) * cache.read(held))
        return Caching(cache.nbytes, tuple(reads))

    def _asked(self, index: int) -> int:
        """How often the head asks the network in a step."""
        kind = _kind(self.script.steps[index])
        if type(self.network.head).answer is HeadModule.answer:
            return 1
        if kind not in self.asked:
            self._cost(index, 0)
        return self.asked[kind]

    def _cache(self, dtype: torch.dtype = torch.float32, keeping: Keeping = EXACT) -> Cache | None:
        if not any(call.keep for call in self.script.steps):
            return None
        backbone = self.network.backbone
        return backbone.cache(1, self.script.room(backbone.passing), self.conditioning.prefix.to(dtype), keeping)

    def _cost(self, index: int, held: int) -> int:
        """Of one step after others that left `held` slots in the cache."""
        cache, network, conditioning = self._cache(), self.network, self.conditioning
        if held:
            site = torch.full((held,), -1, dtype=torch.int64, device=META)
            x, vector = conditioning.prefix.new_empty(1, held, self.width), conditioning.vector
            with torch.inference_mode():
                network.backbone(Slots(x, site, Mask(), held, vector, site, source=conditioning.source), cache)
        first = self.script.steps[index]
        calls = itertools.chain([first], itertools.repeat(self.script.again[index] if first.keep else first))
        known: dict[Call, tuple[Tensor, int]] = {}
        repeated = asked = 0

        def ask(noisy: Noisy | None = None, read: Read | None = None) -> tuple[Tensor, Tensor | None]:
            """Calls asked over and over are computed once, and counted as often as they are asked."""
            nonlocal repeated, asked
            call, asked = next(calls), asked + 1
            if call in known and read is None:
                repeated += known[call][1]
                return known[call][0], None
            found: list[Tensor] = []
            cost = multiply_adds(lambda: found.append(answer(call, noisy, read)))
            known[call] = found[0], cost
            return found[0], None

        def answer(call: Call, noisy: Noisy | None, read: Read | None) -> Tensor:
            x = network.wiring.fill(call, conditioning.prefix, self.tokens.data, self.plan, noisy)
            vector = network.wiring.vectors(call, conditioning.vector, self.plan, noisy)

            def inject(code: int, stream: Tensor) -> Tensor:
                assert read is not None
                read(code, call.predicted(stream), None)
                add = network.wiring.injection(call, self.tokens.data, self.plan)
                return stream.new_zeros(()) if add is None else add(code, stream)

            slots = call.slots(x, self.plan, vector, None, inject if read else None, conditioning.source)
            parts = slots.parts and (Mask(), Mask())
            return call.predicted(network.backbone(replace(slots, mask=Mask(), parts=parts), cache))

        if type(network.head).answer is HeadModule.answer:  # asked once, and then the number of sites decides
            return multiply_adds(ask) + self._sampling(len(first.table.predicted))
        once = multiply_adds(lambda: network.head.answer(ask, 1.0, self.drawn[:, first.ranks], self.system.pick))
        self.asked[_kind(first)] = asked
        return once + repeated

    def _sampling(self, sites: int) -> int:
        """Of drawing so many sites from their hidden vectors, counted once."""
        if sites not in self.sampling:
            hidden = self.conditioning.prefix.new_empty(1, sites, self.system.backbone.out)
            head, numbers = self.network.head, self.drawn[:, :sites]
            self.sampling[sites] = multiply_adds(lambda: head.sample(hidden, None, 1.0, numbers, self.system.pick))
        return self.sampling[sites]


def _kind(call: Call) -> tuple[int, ...]:
    """What the shapes of a call follow from, beside the cache."""
    table = call.table
    return (
        len(table),
        call.keep,
        len(table.predictors()),
        int((table.holds == PREFIX).sum()),
    )


def _total(cost: Callable[[int], int], places: Sequence[int]) -> int:
    """The sum of `cost` over rising places: that of a line, or a parabola, where the places between lie on it, else by halves."""
    if len(places) <= 3:
        return sum(map(cost, places))
    cost, half = functools.cache(cost), len(places) // 2
    chosen = [places[i] for i in (0, -1, half, half // 2, (half + len(places)) // 2)]
    for degree in (1, 2):
        curve = _curve([(place, cost(place)) for place in chosen[: degree + 1]]) if len(set(chosen)) == 5 else None
        checked = chosen[degree + 1 : 2 * degree + 1]  # one place for a line, two for a parabola
        if curve and all(curve(place) == cost(place) for place in checked):
            return int(sum(map(curve, places)))
    return _total(cost, places[:half]) + _total(cost, places[half:])


def _curve(points: Sequence[tuple[int, int]]) -> Callable[[int], Fraction]:
    """The polynomial of the least degree through these points."""

    def value(x: int) -> Fraction:
        total = Fraction(0)
        for place, height in points:
            factors = (Fraction(x - other, place - other) for other, _ in points if other != place)
            total += height * math.prod(factors, start=Fraction(1))
        return total

    return value


def _nothing_asked(condition: Condition, dim: int) -> Tensor:
    """What `prepare` makes of no condition. It looks at values, so that needs the CPU."""
    with torch.random.fork_rng(devices=[]):
        return condition.build(dim).prepare(None, 1, torch.device("cpu")).to(META)
