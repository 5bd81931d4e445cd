"""Turning tokens into pixels: `Model.decode` of a model for inference against the tokenizer as it is, in float32.

The note says how far pixels lie apart on average, in 1/255 of their range. The limit is that of the products.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch

from nextset import System, Tokens, spec
from nextset.account import account
from nextset.inference import has_bfloat16
from nextset.layout import Discrete

from . import IMAGE, Case, Row
from .machine import Machine
from .rounds import alternate, timed

BATCH = 2


def rows(machine: Machine, quick: bool, only: str = "") -> Iterator[Row]:
    """The decoders of LlamaGen and VAR; with bfloat16 where the CPU multiplies it."""
    for name in ("llamagen/shapes", "var/digits") if quick else ("llamagen/b", "var/d16"):
        if only in name:
            yield from _rows(name, spec(name), machine)


def _rows(name: str, system: System, machine: Machine) -> Iterator[Row]:
    torch.manual_seed(0)
    model, unit = system.build().eval(), system.tokenizer.unit
    assert isinstance(unit, Discrete)
    tokens = Tokens(torch.randint(unit.vocab, (BATCH, system.layout.sites)), system.layout)
    ways = {"float32": model.for_inference()}
    if has_bfloat16():
        ways["bfloat16"] = model.for_inference(dtype="bfloat16")
    plain = functools.partial(torch.inference_mode()(model.tokenizer.decode), tokens)
    draws = {name: functools.partial(way.decode, tokens) for name, way in ways.items()} | {"plain": plain}
    exact = plain().clamp(-1, 1)
    seconds = alternate({n: timed(draw) for n, draw in draws.items()}, 1, name)
    limit = machine.limit(0, BATCH * account(system).decoder_multiply_adds)
    for variant in ways:
        error = float((draws[variant]() - exact).abs().mean()) * 255 / 2
        case = Case("pixels", f"{name}, batch {BATCH}", IMAGE, variant, note=f"{error:.2g}/255 off on average")
        yield Row.of(case, BATCH, seconds[variant], seconds["plain"], limit)
