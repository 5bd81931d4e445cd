"""Steps of training: `Trainer`, as `nextset train` runs it, against the loop of `plain`, on the same batches.

Both clip, step AdamW and average the weights; both must give the same loss before the first step. Of the large systems ours steps
alone, on random tokens: forward, backward and AdamW. The limit is three times the products of the forward pass (four where
activations are recomputed), or reading and writing weights, gradients, moments and average once. Peak memory is what the process
held at its highest, weights, gradients and moments included.
"""

from __future__ import annotations

import copy
import functools
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from nextset import System, spec
from nextset.account import count, multiply_adds
from nextset.backbones import Llama
from nextset.errors import NextsetError
from nextset.heads import Categorical
from nextset.layout import Discrete
from nextset.mixers import Attention
from nextset.system import Network
from nextset.train import Options, Recipe, set_up_generator
from nextset.train.phase import optimiser
from nextset.train.run import Setup

from . import PER_SECOND, Case, Row
from .growth import highest
from .machine import Limit, Machine
from .plain.llamagen import PlainLlama, PlainTraining
from .rounds import alternate, timed

KEPT = 5  # numbers of a weight: itself, its gradient, two moments, its average
# random output weights: a zero matrix gives every network one loss
DIGITS = replace(spec("llamagen/digits"), head=Categorical(std=0.02))
MIDDLE = replace(DIGITS, size=(16, 16), backbone=Llama(384, 8, Attention(6)))
"""8 layers of 384 on digits enlarged to 256 tokens."""


LARGE = {"llamagen/b": 2, "var/d16": 1, "mar/b": 1, "rar/b": 1, "arpg/l": 1, "aim/b": 1}
"""Published sizes, and how many pictures they step on."""


def rows(machine: Machine, quick: bool, only: str = "") -> Iterator[Row]:
    """Two sizes against the plain loop, then large ones; all with and without recomputed activations."""
    cases = [("llamagen/digits, batch 64", DIGITS, 64, 5)]
    cases += [] if quick else [("8 layers of 384, 256 tokens, batch 8", MIDDLE, 8, 2)]
    for name, system, batch, steps in (case for case in cases if only in case[0]):
        for checkpointing in (False, True):
            case = f"{name}, checkpointing" if checkpointing else name
            yield race(
                case, system, Recipe(batch=batch), checkpointing, (1 if quick else steps, 2 if quick else 3), machine
            )
    for name, batch in LARGE.items():
        name = f"{name.partition('/')[0]}/tiny" if quick else name
        if only not in name:
            continue
        yield from alone(name, spec(name), batch, machine)


def race(
    case: str, system: System, recipe: Recipe, checkpointing: bool, length: tuple[int, int], machine: Machine
) -> Row:
    """Both train for `length` (steps of a round, rounds). Raises NextsetError where their first losses differ."""
    steps, rounds = length
    setup = set_up_generator(system, "digits", recipe)
    network = setup.trainee.phases[0].module
    assert isinstance(network, Network)
    agree(case, network, PlainLlama(network), next(batches(setup)))
    plain = PlainTraining(copy.deepcopy(PlainLlama(network, checkpointing)), recipe)
    limit = least(network, next(batches(setup)), checkpointing, machine)
    with tempfile.TemporaryDirectory() as folder:
        ours = setup.trainer(Options(Path(folder) / "run", checkpointing=checkpointing))
        contestants = {
            "ours": functools.partial(ours.rehearse, steps),
            "plain": functools.partial(plain.rehearse, functools.partial(batches, setup), steps),
        }
        seconds = alternate(contestants, rounds, case)
    return Row.of(
        Case("training", case, PER_SECOND), recipe.batch * setup.tokens, seconds["ours"], seconds["plain"], limit
    )


def alone(name: str, system: System, batch: int, machine: Machine) -> Iterator[Row]:
    """A step on random tokens, after a first one; then one that recomputes activations."""
    torch.manual_seed(0)
    before = highest()
    network, unit = system.network(), system.tokenizer.unit
    shape = (batch, system.layout.sites)
    tokens = torch.randint(unit.vocab, shape) if isinstance(unit, Discrete) else torch.randn(*shape, unit.dim)
    labels = network.condition.prepare(torch.arange(batch) % 3, None, tokens.device)
    forward = multiply_adds(lambda: network.eval()(tokens, labels, 0))
    optimizer = optimiser(network.train(), Recipe(batch=batch))

    def step() -> None:
        optimizer.zero_grad()
        network(tokens, labels, 0)["loss"].backward()
        optimizer.step()

    step()
    for checkpointing in (False, True):
        network.backbone.checkpointing = checkpointing
        optimizer.zero_grad()
        highest()
        seconds = [timed(step)()]
        limit = machine.limit(2 * (KEPT - 1) * 4 * count(network), (4 if checkpointing else 3) * forward)
        note = f"peak {(highest(clear=False) - before) / 1e6:,.0f} MB"
        case = Case("training", f"{name}, batch {batch}" + checkpointing * ", checkpointing", PER_SECOND, note=note)
        yield Row.of(case, batch * system.layout.sites, seconds, None, limit)


def batches(setup: Setup) -> Iterator[tuple[Tensor, Tensor]]:
    """(tokens, labels) as the trainer makes them."""
    phase = setup.trainee.phases[0]
    return (phase.inputs(batch, 0, 0)[:2] for batch in setup.train.batches())


def agree(case: str, network: Network, plain: PlainLlama, batch: tuple[Tensor, Tensor]) -> None:
    """Raises NextsetError where the two losses of a batch differ by more than rounding."""
    with torch.no_grad():
        ours, theirs = network.eval()(*batch, 0)["loss"].item(), plain.eval().loss(*batch).item()
    if not math.isclose(ours, theirs, rel_tol=1e-5):
        raise NextsetError(f"{case}: the loss is {ours:.6f}, the plain one {theirs:.6f}; nothing was measured")


def least(network: Network, batch: tuple[Tensor, Tensor], checkpointing: bool, machine: Machine) -> Limit:
    """Of one step."""
    forward = multiply_adds(lambda: network.eval()(*batch, 0))
    return machine.limit(2 * KEPT * 4 * count(network), (4 if checkpointing else 3) * forward)
