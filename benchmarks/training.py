"""Steps of training: `Trainer`, as `nextset train` runs it, against the loop of `plain`, on the same batches.

Both clip, step AdamW and average the weights; both must give the same loss before the first step. The limit is three times the
products of the forward pass (four where activations are recomputed), or reading and writing weights, gradients, moments and
average once.
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
from nextset.mixers import Attention
from nextset.system import Network
from nextset.train import Options, Recipe, set_up_generator
from nextset.train.run import Setup

from . import PER_SECOND, Row
from .machine import Limit, Machine
from .plain.llamagen import PlainLlama, PlainTraining
from .rounds import alternate

KEPT = 5  # numbers of a weight: itself, its gradient, two moments, its average
# random output weights: a zero matrix gives every network one loss
DIGITS = replace(spec("llamagen/digits"), head=Categorical(std=0.02))
MIDDLE = replace(DIGITS, size=(16, 16), backbone=Llama(384, 8, Attention(6)))
"""8 layers of 384 on digits enlarged to 256 tokens."""


def rows(machine: Machine, quick: bool) -> Iterator[Row]:
    """Two sizes, with and without recomputed activations."""
    cases = [("llamagen/digits, batch 64", DIGITS, 64, 5)]
    cases += [] if quick else [("8 layers of 384, 256 tokens, batch 8", MIDDLE, 8, 3)]
    for name, system, batch, steps in cases:
        for checkpointing in (False, True):
            case = f"{name}, checkpointing" if checkpointing else name
            yield race(
                case, system, Recipe(batch=batch), checkpointing, (1 if quick else steps, 2 if quick else 5), machine
            )


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
    return Row.of(("training", case, PER_SECOND), recipe.batch * setup.tokens, seconds, limit)


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
