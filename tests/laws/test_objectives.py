"""Every objective, on a network of the base system."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nextset.layout import Tokens
from nextset.objectives import Objective
from nextset.wirings import Masked

from .parts import toys
from .toys import BASE, conditions, lively, random_tokens


@pytest.mark.parametrize("part", toys(Objective), ids=str)
def test_a_scalar_to_minimise_beside_figures(part: Objective) -> None:
    """Finite, with a gradient; the others are for the journal only; the same seed gives the same."""
    model = lively(replace(BASE, objective=part, wiring=Masked() if part.reveals else BASE.wiring))
    tokens, condition = Tokens(random_tokens(model, 4), model.system.layout), conditions(model, 4)
    figures = part.loss(model.network, tokens, condition, seed=1)
    loss = figures.pop("loss")
    assert loss.ndim == 0
    assert loss.isfinite()
    assert loss.requires_grad
    assert all(figure.ndim == 0 and not figure.requires_grad for figure in figures.values())
    assert torch.equal(part.loss(model.network, tokens, condition, seed=1)["loss"], loss)
