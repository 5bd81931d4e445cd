"""Every objective, on a network that takes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nextset import System, catalogue
from nextset.layout import Tokens
from nextset.objectives import Objective
from nextset.wirings import Masked

from .parts import accepts, toys
from .toys import BASE, SETS, conditions, lively, random_tokens

HOMES = (BASE, *(catalogue.spec(f"{name}/tiny") for name in catalogue.names()))  # the first that takes an objective


def fitting(part: Objective) -> System | None:
    """A system that it trains, None where it needs others than these."""
    for base in (BASE, SETS["captioned"], replace(BASE, wiring=Masked()), *HOMES):
        system = replace(base, objective=part)
        if accepts(system.network):
            return system
    return None


@pytest.mark.parametrize("part", [part for part in toys(Objective) if fitting(part)], ids=str)
@pytest.mark.parametrize("progress", [0.0, 0.6, 1.0])
def test_a_scalar_to_minimise_beside_figures(part: Objective, progress: float) -> None:
    """At any time of the training finite, with a gradient; the others are for the journal only; the same seed gives the same."""
    system = fitting(part)
    assert system is not None
    model = lively(system)
    tokens, condition = Tokens(random_tokens(model, 4), model.system.layout), conditions(model, 4)
    torch.manual_seed(1)  # the noise of heads
    figures = part.loss(model.network, tokens, condition, seed=1, progress=progress)
    loss = figures.pop("loss")
    assert loss.ndim == 0
    assert loss.isfinite()
    assert loss.requires_grad
    assert all(figure.ndim == 0 and not figure.requires_grad for figure in figures.values())
    torch.manual_seed(1)
    assert torch.equal(part.loss(model.network, tokens, condition, seed=1, progress=progress)["loss"], loss)
