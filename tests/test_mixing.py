"""The combinations of docs/mixing.md: its code runs, and what it makes obeys the laws that hold for every system."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from nextset import System, UsageError, spec
from nextset.layout import Tokens

from .laws.toys import conditions, drawn_plan, incremental, lively, random_tokens, teacher_forced
from .test_structure import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "mixing.md").read_text(encoding="utf-8"), re.S)


def mixed(block: str) -> System:
    """The system that a block makes."""
    names: dict[str, Any] = {}
    exec(block, names)
    system: System = names["system"]
    return system


def test_there_are_three() -> None:
    assert len(BLOCKS) == 3


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.findall(r"spec\(\"(\w+)", block)[0])
def test_a_combination_obeys_the_laws(block: str) -> None:
    """Parallel is incremental, guided too; every weight learns; the same seed gives the same picture whatever is beside it."""
    model = lively(mixed(block))
    tokens, condition = random_tokens(model, 2), conditions(model, 2)
    plan = drawn_plan(model, 0, 2)
    with torch.no_grad():
        whole, unguided = teacher_forced(model, tokens, condition, plan, True)
    steps = incremental(model, tokens, condition, type(model.system.guidance)(scale=3.0), plan)  # type: ignore[call-arg]
    for half, expected in ((0, whole), (1, unguided)):
        start = 0
        for found, size in zip(steps, plan.sizes, strict=True):
            if (part := found[half]) is not None:
                torch.testing.assert_close(part, expected[:, start : start + size], rtol=1e-4, atol=1e-4)
            start += size
    together = model.generate(condition, seed=3)
    torch.testing.assert_close(model.generate(condition[1:], seed=3, first=1), together[1:], rtol=0, atol=1e-4)
    model.train()
    for seed in range(8):  # a mask may hide all, or nothing, at one seed
        model.loss(Tokens(tokens, model.system.layout), condition, seed=seed)["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.network.parameters())


def test_what_does_not_fit_says_so() -> None:
    """Groups of sites see each other, and a recurrence has one direction."""
    mamba = mixed(BLOCKS[0]).backbone.mixer  # type: ignore[attr-defined]
    from dataclasses import replace

    par = spec("par/digits")
    with pytest.raises(UsageError, match=r"wiring Groups and backbone Llama do not fit.*Mamba2"):
        replace(par, backbone=replace(par.backbone, mixer=mamba)).network()  # type: ignore[call-arg]
