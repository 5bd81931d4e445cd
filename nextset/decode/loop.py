"""The engine: draws a plan step by step through a cached network.

Legend: B samples, N sites, K steps. With guidance the conditional and unconditional halves run in one pass of 2B rows; once
no later step is guided, the second half is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..backbones.base import BackboneModule
from ..conditions.base import Conditioning
from ..heads.base import HeadModule, Picker
from ..layout import Tokens
from ..mixers.base import Cache
from ..orders.base import Plan
from ..wirings.base import Call, Script, WiringModule
from .guidance import Guidance


class Decodable(Protocol):
    """The modules that decoding needs of a network."""

    wiring: WiringModule
    backbone: BackboneModule
    head: HeadModule

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
    run = _Run(network, plan, start.data, conditions, guidance.scales(plan.sizes))
    given = clamp and (plan.to_ranks(clamp.known), plan.to_ranks(clamp.tokens))
    known = torch.zeros(plan.perm.shape, dtype=torch.bool, device=plan.perm.device)
    for step, call in enumerate(run.script.steps):
        hidden, unguided, scale = run.step(step, call)
        new = network.head.sample(hidden, unguided, scale, drawn[:, call.ranks], pick)
        if given:
            held, values = given[0][:, call.ranks], given[1][:, call.ranks]
            new = torch.where(held if new.ndim == 2 else held[..., None], values, new)
        _write(start.data, plan.perm[..., call.ranks], new)
        known.scatter_(-1, plan.perm[..., call.ranks], True)
        yield Decoding(start, known, step + 1, len(plan.sizes))


class _Run:
    """The state of one decoding: cache, condition, and whether the unguided half still runs."""

    def __init__(
        self,
        network: Decodable,
        plan: Plan,
        tokens: Tensor,
        conditions: tuple[Conditioning, Conditioning | None],
        scales: tuple[float, ...],
    ) -> None:
        conditional, null = conditions
        self.network, self.plan, self.tokens, self.scales = network, plan, tokens, scales
        self.doubled = plan if plan.perm.ndim == 1 else Plan(torch.cat([plan.perm, plan.perm]), plan.sizes)
        self.batch = len(conditional.prefix)
        self.guided = max((k + 1 for k, scale in enumerate(scales) if scale != 1.0), default=0)  # steps up to here
        self.condition = conditional.join(null) if null is not None and self.guided else conditional
        self.script = network.script(plan.sizes, tokens.device)
        self.cache: Cache = network.backbone.cache(
            len(self.condition.prefix), self.script.length, self.condition.prefix
        )
        self.valid = _pad(self.condition.valid, self.script.length)
        self.seen = 0

    def step(self, index: int, call: Call) -> tuple[Tensor, Tensor | None, float]:
        """Hidden vectors of the predictors, the unguided ones where this step is guided, and the scale."""
        if index >= self.guided and len(self.condition.prefix) > self.batch:
            self._drop_unguided()
        guided = len(self.condition.prefix) > self.batch
        plan, tokens = (self.doubled, torch.cat([self.tokens, self.tokens])) if guided else (self.plan, self.tokens)
        x = self.network.wiring.fill(call, self.condition.prefix, tokens, plan)
        valid = None if self.valid is None else self.valid[:, : self.seen + x.shape[1]]
        slots = call.slots(x, plan, self.condition.vector, valid)
        hidden = self.network.backbone(slots, self.cache)[:, call.predictors]
        self.seen += call.keep
        if self.scales[index] == 1.0 or not guided:
            return hidden[: self.batch], None, 1.0
        return hidden[: self.batch], hidden[self.batch :], self.scales[index]

    def _drop_unguided(self) -> None:
        kept = self.condition
        self.cache = self.cache.narrow(self.batch)
        self.valid = None if self.valid is None else self.valid[: self.batch]
        self.condition = Conditioning(
            kept.prefix[: self.batch], None if kept.vector is None else kept.vector[: self.batch], None
        )


def _pad(valid: Tensor | None, slots: int) -> Tensor | None:
    if valid is None:
        return None
    return torch.nn.functional.pad(valid, (0, max(slots - valid.shape[1], 0)), value=True)


def _write(tokens: Tensor, sites: Tensor, new: Tensor) -> None:
    if sites.ndim == 1:
        tokens[:, sites] = new
    else:
        index = sites.reshape(*sites.shape, *[1] * (tokens.ndim - 2)).expand(new.shape)
        tokens.scatter_(1, index, new)
