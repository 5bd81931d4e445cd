"""Drawing tokens: `Model.stream`, as `generate` runs it before any pixel is painted, against the loop of `plain`.

Both take the likeliest token at every step, and must write the same ones. The limit of a step is reading every weight of backbone
and head, and the filled half of the cache on average; or the products.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from nextset import Model, Pick, System, spec
from nextset.account import account
from nextset.backbones import Llama
from nextset.errors import NextsetError
from nextset.heads import Categorical
from nextset.mixers import Attention
from nextset.tokenizers.vq import VQ

from . import MILLISECONDS, Row
from .machine import Limit, Machine
from .plain.llamagen import PlainLlama
from .rounds import alternate, timed

SCALE = 4.0
GREEDY = Pick(temperature=0)


def systems(quick: bool) -> tuple[str, System]:
    """A name and the system: random output weights, so that tokens differ, and a tokenizer that weighs little and is not run."""
    light = VQ(16384, 8, width=32, multipliers=(1, 1, 1, 1, 1), blocks=1, latent=32)
    full = replace(spec("llamagen/b"), tokenizer=light, head=Categorical(std=0.02))
    if not quick:
        return "llamagen/b", full
    return "4 layers of 256, 64 tokens", replace(full, size=(128, 128), backbone=Llama(256, 4, Attention(4)))


def rows(machine: Machine, quick: bool) -> Iterator[Row]:
    """One image at a time, and four."""
    name, system = systems(quick)
    torch.manual_seed(0)
    model = system.build().eval()
    plain = PlainLlama(model.network)
    for batch in (1, 4):
        case = f"{name}, batch {batch}, guidance {SCALE:g}"
        yield race(model, plain, torch.arange(batch), 3, case, machine)


def race(model: Model, plain: PlainLlama, labels: Tensor, rounds: int, case: str, machine: Machine) -> Row:
    """Both draw images of `labels`, at first to see that they agree. Raises NextsetError where they do not."""
    if not torch.equal(drawn(model, labels), plain.generate(labels, SCALE)):
        raise NextsetError(f"{case}: the plain loop writes other tokens; nothing was measured")
    contestants = {
        "ours": timed(lambda: drawn(model, labels)),
        "plain": timed(lambda: plain.generate(labels, SCALE)),
    }
    seconds = alternate(contestants, rounds, case)
    tokens = len(labels) * model.system.layout.sites
    return Row.of(("sampling", case, MILLISECONDS), tokens, seconds, least(model, len(labels), machine))


def drawn(model: Model, labels: Tensor) -> Tensor:
    """The likeliest guided tokens (B, N)."""
    (last,) = collections.deque(model.stream(labels, guidance=SCALE, pick=GREEDY), maxlen=1)
    return last.decoding.tokens.data


def least(model: Model, batch: int, machine: Machine) -> Limit:
    """Of drawing a whole batch."""
    network, costs, halves = model.network, account(model.system), 2 * batch
    weights = sum(p.nbytes for part in (network.backbone, network.head) for p in part.parameters())
    read = costs.steps * (weights + halves * costs.cache_bytes_float32 / 2)
    return machine.limit(read, halves * costs.multiply_adds)
