"""Noisy blocks beside the clean past: what is noisy where, what is modulated, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nextset import UsageError, catalogue
from nextset.conditions import Label
from nextset.heads import Noisy
from nextset.objectives import CleanContext, NoisyContext
from nextset.slots import Vectors
from nextset.wirings import Beside, Script

CPU = torch.device("cpu")
SIZES = (2, 1, 3)


def test_a_step_asked_again_has_its_noisy_slots_alone() -> None:
    script = Script(Beside(), SIZES, 0, CPU)
    assert [len(call.table) for call in script.steps] == [2, 3, 4]  # noisy; clean before, and noisy
    assert [call.keep for call in script.steps] == [0, 2, 1]
    assert [len(call.table) for call in script.again] == [2, 1, 3]
    masks = [call.mask for call in script.again]
    assert all(mask.dense is None and not mask.causal for mask in masks)  # they see all that is kept, and themselves
    assert script.length == 2 + 1 + 3


def test_noisy_context_is_block_causal() -> None:
    call = Script(Beside(), SIZES, 0, CPU).noised
    step = torch.tensor([0, 0, 1, 2, 2, 2])
    assert call.mask.dense is not None
    assert torch.equal(call.mask.dense, step[:, None] >= step)


@pytest.mark.parametrize("name", ["xar", "acdit"])
def test_levels_reach_their_own_step_only(name: str) -> None:
    """Clean slots take level 0, or nothing, whatever the levels of noisy ones."""
    model = catalogue.spec(f"{name}/tiny").build()
    network, labels = model.network, torch.arange(2)
    plan = network.plan(0, 2, CPU)
    call = network.script(plan.sizes, CPU).whole
    noise = torch.randn(2, 8, 4)
    levels = torch.tensor([0.1, 0.4, 0.6, 0.9]).repeat_interleave(2).expand(2, -1)
    found = network.wiring.vectors(call, network.condition(labels).vector, plan, Noisy(noise, levels))
    assert isinstance(found, Vectors)
    clean, noisy = found.of[call.filled], found.of[call.empty]
    assert noisy.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert set(clean.tolist()) == ({4} if name == "xar" else {-1})
    assert found.some == (name == "acdit")
    zero = network.condition(labels).vector + network.wiring.level(torch.zeros(2))  # type: ignore[operator]
    if name == "xar":
        torch.testing.assert_close(found.values[:, 4], zero)
    each = network.condition(labels).vector[:, None] + network.wiring.level(levels[:, ::2])  # type: ignore[operator, index]
    torch.testing.assert_close(found.values[:, :4], each)


def test_what_does_not_fit_is_refused_by_name() -> None:
    system, base = catalogue.spec("xar/tiny"), catalogue.spec("llamagen/tiny")
    with pytest.raises(UsageError, match="Beside"):
        replace(base, wiring=Beside(), condition=Label(3, vector=True)).network()
    for objective in (CleanContext(), NoisyContext()):
        with pytest.raises(UsageError, match="Categorical"):
            replace(base, objective=objective).network()
    model = system.build()
    with pytest.raises(UsageError, match="no likelihood"):
        model.log_prob(torch.zeros(1, 1, 4, 8), 0)


def test_wirings_without_noisy_slots_have_no_noisy_context() -> None:
    with pytest.raises(UsageError, match="Shift has no noisy context"):
        catalogue.spec("llamagen/tiny").wiring.noised((1, 1), 1)
