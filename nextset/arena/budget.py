"""Equal budgets: the same number of parameters, and the same arithmetic in training.

Parameters are those of the network (a tokenizer is trained beforehand and counted apart). Arithmetic is what torch's own counter
sees of a forward and a backward pass: matrix products, convolutions and attention; elementwise work (scans, norms) is not counted.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from statistics import mean

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..account import META, count
from ..backbones import Backbone
from ..errors import UsageError
from ..layout import Tokens, blank
from ..system import System

TOLERANCE = 0.1
GRAIN = 8  # widths are multiples of this


def parameters(system: System) -> int:
    """Parameters of the network. Raises UsageError where its parts do not fit."""
    with META:
        return count(system.network())


def fitted(system: System, wanted: int) -> System:
    """`system` with the width (and, where that does not do, the depth) at which its network has `wanted` parameters, within 10%.

    Raises UsageError where there is none.
    """
    backbone = system.backbone
    depth = _depth(backbone)
    best, least = None, math.inf
    for tried in sorted(range(max(1, depth - 2), depth + 3), key=lambda d: (abs(d - depth), d)):
        for candidate in _widths(system, tried, wanted):
            miss = abs(parameters(candidate) / wanted - 1)
            if miss < least:
                best, least = candidate, miss
        if best is not None and least <= TOLERANCE / 2:
            break
    if best is None or least > TOLERANCE:
        raise UsageError(f"no width and depth of {type(backbone).__name__} gives about {wanted} parameters")
    return best


def _widths(system: System, depth: int, wanted: int) -> list[System]:
    """Systems of this depth whose widths lie around the wanted one, and whose parts fit."""
    now = parameters(system)
    guess = system.backbone.width * math.sqrt(wanted / now * _depth(system.backbone) / depth)
    middle = max(GRAIN, GRAIN * round(guess / GRAIN))
    found = []
    for dim in range(max(GRAIN, middle - 4 * GRAIN), middle + 5 * GRAIN, GRAIN):
        try:
            candidate = replace(system, backbone=resized(system.backbone, dim, depth))
            parameters(candidate)
        except UsageError:
            continue
        found.append(candidate)
    return found


def resized(backbone: Backbone, dim: int, depth: int) -> Backbone:
    """The backbone, or those that it is made of, with another width and depth. Raises UsageError where it has none to choose."""
    inner = {name: resized(part, dim, depth) for name, part in _inside(backbone).items()}
    return replace(backbone, **inner) if inner else replace(backbone, dim=dim, depth=depth)  # type: ignore[call-arg]


def _depth(backbone: Backbone) -> int:
    inner = list(_inside(backbone).values())
    if inner:
        return _depth(inner[0])
    if not hasattr(backbone, "dim") or not hasattr(backbone, "depth"):
        raise UsageError(f"backbone {type(backbone).__name__} has no width and depth to fit a budget with")
    return int(backbone.depth)


def _inside(backbone: Backbone) -> dict[str, Backbone]:
    values = {f.name: getattr(backbone, f.name) for f in fields(backbone)}
    return {name: value for name, value in values.items() if isinstance(value, Backbone)}


def training_cost(system: System, draws: int = 8) -> float:
    """Multiply-adds of one picture in a training step, forward and backward: the mean over `draws` of what is random in it."""
    torch.manual_seed(0)
    model = system.build().train()
    tokens = Tokens(blank(system.tokenizer.unit, system.layout, 1, torch.device("cpu")).data, system.layout)
    costs = []
    for seed in range(draws):
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model.loss(tokens, None, seed=seed, progress=(seed + 0.5) / draws)["loss"].backward()
        costs.append(counter.get_total_flops() / 2)
    return mean(costs)
