"""The loop: draws a plan step by step through a cached network.

Legend: B samples, N sites, K steps. With guidance the conditional and unconditional halves run in one pass of 2B rows; once
no later step is guided, the second half is dropped. A head may ask the network several times in a step (`HeadModule.answer`).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ..backbones.base import BackboneModule
from ..conditions.base import Conditioning
from ..heads.base import Ask, HeadModule, Noisy, Picker, Read
from ..layout import Tokens
from ..mixers import Cache, Keeping
from ..orders.base import Plan
from ..slots import Slots
from ..wirings.base import Call, Script, WiringModule
from .guidance import Guidance


class Decodable(Protocol):
    """The modules that decoding needs of a network."""

    wiring: WiringModule
    backbone: BackboneModule
    head: HeadModule
    keeping: Keeping

    def script(self, sizes: tuple[int, ...], device: torch.device) -> Script:
        """Tables and masks for these step sizes."""


@dataclass(frozen=True)
class Decoding:
    """What is known after a step: `tokens` by site, of which `known` (N,) or (B, N) bool are final; `step` of `steps` done."""

    tokens: Tokens
    known: Tensor
    step: int
    steps: int


@dataclass(frozen=True)
class Clamp:
    """Sites that are given: `known` (B, N) bool and tokens (B, N, ...) whose other sites may hold anything."""

    known: Tensor
    tokens: Tensor


@torch.inference_mode()
def decode(
    network: Decodable,
    plan: Plan,
    start: Tokens,
    conditions: tuple[Conditioning, Conditioning | None],
    guidance: Guidance,
    pick: Picker,
    drawn: Tensor,
    clamp: Clamp | None = None,
) -> Iterator[Decoding]:
    """Fills `start` (overwritten) site by site and yields after every step.

    `conditions` are the conditional and, where some step is guided, the null ones; `drawn` (B, N, ...) the head's random
    numbers by rank.
    """
    given = Given(plan, clamp) if clamp else None
    run = Run(network, plan, start.data, conditions, guidance, given)
    known = torch.zeros(plan.perm.shape, dtype=torch.bool, device=plan.perm.device)
    for step, call in enumerate(run.script.steps):
        new = network.head.answer(run.asking(step), run.scale(step), drawn[:, call.ranks], pick)
        new = given.instead_of(new, call.ranks) if given else new
        write(start.data, plan.perm[..., call.ranks], new)
        known.scatter_(-1, plan.perm[..., call.ranks], True)
        yield Decoding(start, known, step + 1, len(plan.sizes))


class Given:
    """What a clamp gives, by rank."""

    def __init__(self, plan: Plan, clamp: Clamp) -> None:
        self.known, self.tokens = plan.to_ranks(clamp.known), plan.to_ranks(clamp.tokens)

    def instead_of(self, new: Tensor, ranks: slice | Tensor, code: int | None = None) -> Tensor:
        """`new` tokens (B, n, ...) of these ranks, or one code of each (B, n), where they are not given."""
        known, values = self.known[:, ranks], self.tokens[:, ranks]
        values = values if code is None else values[..., code]
        return torch.where(known if new.ndim == 2 else known[..., None], values, new)


class Run:
    """The state of one decoding: condition, what has been kept, whether the unguided half still runs, and a cache of its own if asked."""

    def __init__(
        self,
        network: Decodable,
        plan: Plan,
        tokens: Tensor,
        conditions: tuple[Conditioning, Conditioning | None],
        guidance: Guidance,
        given: Given | None = None,
    ) -> None:
        conditional, null = conditions
        self.network, self.plan, self.tokens, self.given = network, plan, tokens, given
        self.scales, self.seam = guidance.scales(plan.sizes), guidance.seam
        self.doubled = plan if plan.perm.ndim == 1 else replace(plan, perm=torch.cat([plan.perm, plan.perm]))
        self.batch = len(conditional.prefix)
        # guided steps end here
        self.last = max((k + 1 for k, scale in enumerate(self.scales) if scale != 1.0), default=0)
        self.condition = conditional.join(null) if null is not None and self.last else conditional
        self.script = network.script(plan.sizes, tokens.device)
        self.valid = _pad(self.condition.valid, self.script.lead, self.script.length)
        self.seen = 0

    @functools.cached_property
    def cache(self) -> Cache | None:
        """Room for all that its steps keep; None where they keep nothing."""
        if not any(call.keep for call in self.script.steps):
            return None
        like, room = self.condition.prefix, self.script.room(self.network.backbone.passing)
        return self.network.backbone.cache(len(like), room, like, self.network.keeping)

    def scale(self, index: int) -> float:
        """The scale of a step."""
        return self.scales[index] if self.guided else 1.0

    @property
    def guided(self) -> bool:
        """Whether the unguided half runs."""
        return len(self.condition.prefix) > self.batch

    def asking(self, index: int) -> Ask:
        """How the head asks the network in a step: the first time with the slots that stay in the cache, then without."""
        if self.enter(index):
            self.cache = self.cache and self.cache.narrow(self.batch)
        calls = itertools.chain([self.script.steps[index]], _repeated(lambda: self.script.again[index]))

        def ask(noisy: Noisy | None = None, read: Read | None = None) -> tuple[Tensor, Tensor | None]:
            call = next(calls)
            slots = self.slots(call, self.scale(index), noisy, read)
            hidden = call.predicted(self.network.backbone(slots, self.cache))
            self.seen += call.keep
            return self._halves(hidden, self.scales[index] != 1.0 and self.seam is None)

        return ask

    def enter(self, index: int) -> bool:
        """Drops the unguided half where `index` is the first step that does not need it, and says whether it did. The cache is not touched."""
        if index < self.last or not self.guided:
            return False
        self.valid = None if self.valid is None else self.valid[: self.batch]
        self.condition = self.condition.narrow(self.batch)
        return True

    def slots(self, call: Call, scale: float, noisy: Noisy | None = None, read: Read | None = None) -> Slots:
        """What the backbone is given, for the halves that run."""
        wiring, condition = self.network.wiring, self.condition
        plan, tokens = self.plan, self.tokens
        if self.guided:
            plan, tokens = self.doubled, torch.cat([self.tokens, self.tokens])
            noisy = noisy and Noisy(torch.cat([noisy.values] * 2), torch.cat([noisy.level] * 2))
        x = wiring.fill(call, condition.prefix, tokens, plan, noisy)
        valid = None if self.valid is None else self.valid[:, : self.seen + x.shape[1]]
        vector = wiring.vectors(call, condition.vector, plan, noisy)
        inject = read and functools.partial(self._inject, call, plan, tokens, read)
        slots = call.slots(x, plan, vector, valid, inject, condition.source)
        if self.seam is not None and scale != 1.0:
            slots = replace(slots, blend=functools.partial(self._blend, scale))
        return slots

    def _blend(self, scale: float, block: int, stream: Tensor) -> Tensor:
        """After the block that is meant, both halves are the guided stream."""
        if block != self.seam:
            return stream
        guided = stream[self.batch :].lerp(stream[: self.batch], scale)
        return torch.cat([guided, guided])

    def _inject(self, call: Call, plan: Plan, tokens: Tensor, read: Read, code: int, stream: Tensor) -> Tensor:
        """Draws a code of the sites of a call on the way through the backbone, and says what that adds to the stream."""
        ids = read(code, *self._halves(call.predicted(stream), self.guided))
        ids = self.given.instead_of(ids, call.ranks, code) if self.given else ids
        ids = torch.cat([ids, ids]) if self.guided else ids
        write(tokens[..., code], plan.perm[..., call.ranks], ids)
        inject = self.network.wiring.injection(call, tokens, plan)
        return stream.new_zeros(()) if inject is None else inject(code, stream)

    def _halves(self, hidden: Tensor, wanted: bool) -> tuple[Tensor, Tensor | None]:
        unguided = hidden[self.batch :] if self.guided and wanted else None
        return hidden[: self.batch], unguided


def _repeated(make: Callable[[], Call]) -> Iterator[Call]:
    while True:
        yield make()


def _pad(valid: Tensor | None, lead: int, slots: int) -> Tensor | None:
    """Which of the condition slots are no padding, for all slots: `lead` before them, and all others after them."""
    if valid is None:
        return None
    return torch.nn.functional.pad(valid, (lead, max(slots - valid.shape[1] - lead, 0)), value=True)


def write(tokens: Tensor, sites: Tensor, new: Tensor) -> None:
    """Puts `new` (B, n, ...) at the sites (n,) or (B, n) of tokens (B, N, ...)."""
    if sites.ndim == 1:
        tokens[:, sites] = new
    else:
        index = sites.reshape(*sites.shape, *[1] * (tokens.ndim - 2)).expand(new.shape)
        tokens.scatter_(1, index, new)
