"""NAR (arXiv 2503.10696): a picture grows by neighbours, whose proposals are averaged, in 2 n - 1 steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

import nextset
from nextset import Layout, System
from nextset.backbones import Llama, Twofold
from nextset.layout import Codec, Unit
from nextset.mixers import Attention
from nextset.noise import Noise
from nextset.orders import Order, Plan, Wavefront
from nextset.slots import NONE, SlotTable
from nextset.wirings import Instructions, Neighbours, Wiring, WiringModule

from . import Claim
from .par import learned, nats, small


@dataclass(frozen=True)
class LeftOnly(Wiring):
    """Neighbours, but only the left neighbour proposes a token; the first column has none and is proposed from above."""

    def whole(self, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Of two proposals the first."""
        return _once(Neighbours().whole(sizes, prefix))

    def step(self, index: int, sizes: tuple[int, ...], prefix: int) -> SlotTable:
        """Of two proposals the first."""
        return _once(Neighbours().step(index, sizes, prefix))

    def build(self, dim: int, unit: Unit, layout: Layout, codec: Codec) -> WiringModule:
        """As ever."""
        return Neighbours().build(dim, unit, layout, codec)


def _once(table: SlotTable) -> SlotTable:
    twice = np.isin(table.also, table.predicts) & (table.also != 0)
    return replace(table, also=np.where(twice, NONE, table.also))


@dataclass(frozen=True)
class Sets(Order):
    """Random sites, in steps of the sizes of wavefronts."""

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """Those of wavefronts."""
        return Wavefront().sizes(layout)

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """A permutation a sample."""
        return Plan(noise.permutation(layout.sites), self.sizes(layout))


def claims(steps: int = 250) -> Iterator[Claim]:
    """The steps of a picture; one proposal and two; wavefronts and random sets under one wiring that can do both."""
    backbone = Twofold(Llama(64, 2, Attention(4), dropout=0.0, hidden_multiple=64))
    system = replace(nextset.spec("nar/digits"), backbone=backbone)
    yield Claim("8 x 8 tokens take 15 steps", f"{called(system)} calls of the network", "15", called(system) == 15)
    two, left = (nats(learned(found, steps)) for found in (system, replace(system, wiring=LeftOnly())))
    yield Claim(
        f"after {steps} steps, the average of two proposals describes digits better than the left one alone",
        f"{two:.3f} and {left:.3f} nats a pixel of unseen digits",
        "less by at least 0.01",
        two < left - 0.01,
    )
    base = replace(small(nextset.spec("llamagen/digits")), wiring=Instructions(4))
    fewer = steps // 2
    near, random = (nats(learned(replace(base, order=order), fewer)) for order in (Wavefront(), Sets()))
    yield Claim(
        f"after {fewer} steps, wavefronts cost less than random sets of the same sizes",
        f"{near:.3f} and {random:.3f} nats a pixel of unseen digits",
        "less by at least 0.05",
        near < random - 0.05,
    )


def called(system: System) -> int:
    """How often the network is called to draw a picture."""
    torch.manual_seed(0)
    model, calls = system.build().eval(), []
    model.network.backbone.register_forward_hook(lambda *_: calls.append(1))
    model.generate(0, guidance=1.5)
    return len(calls)
