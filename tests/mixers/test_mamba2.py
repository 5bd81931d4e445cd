"""The Mamba-2 mixer beyond the laws: what it keeps, and which sequences it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import nextset
from nextset import UsageError
from nextset.backbones import TwoPass
from nextset.mixers import Attention, Context, Mamba2
from nextset.mixers.mamba2 import Recurrence
from nextset.orders import Random
from nextset.slots import Mask
from nextset.wirings import Instructions, Masked, Mutual, Queries

DIM, BATCH = 16, 2
PART = Mamba2(4, 8, chunk=3)


def context(keep: int) -> Context:
    return Context(None, Mask(causal=True), keep)


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_only_kept_slots_advance_the_state(keep: int) -> None:
    """What a call computes beyond them leaves no trace, and sees all before it."""
    module, x = PART.build(DIM, 0.0).double(), torch.randn(BATCH, 7, DIM).double()
    passing, plain = (module.state(BATCH, 7, x) for _ in range(2))
    for state in (passing, plain):
        module(x[:, :2], context(2), state)
    seen = module(x[:, 2:7], context(keep), passing)
    if keep:
        module(x[:, 2 : 2 + keep], context(keep), plain)
    torch.testing.assert_close(passing.memory, plain.memory, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(passing.inputs, plain.inputs, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(seen, module(x, context(0))[:, 2:], rtol=1e-10, atol=1e-12)


def test_a_state_does_not_grow_and_shares_memory() -> None:
    module = PART.build(DIM, 0.0)
    small, large = (module.state(BATCH, slots, torch.zeros(1)) for slots in (1, 1000))
    assert isinstance(small, Recurrence)
    assert (small.inputs.shape, small.memory.shape) == (large.inputs.shape, large.memory.shape)
    module(torch.randn(1, 2, DIM), context(2), small.narrow(1))
    assert small.memory[0].abs().sum() > 0
    assert small.memory[1].abs().sum() == 0


def test_the_state_is_float32_in_half_precision() -> None:
    state = PART.build(DIM, 0.0).state(1, 4, torch.zeros(1, dtype=torch.bfloat16))
    assert (state.inputs.dtype, state.memory.dtype) == (torch.bfloat16, torch.float32)


def test_other_masks_are_refused_with_both_names() -> None:
    """A recurrence sees all that came before, so several queries a step, or a look ahead, are not its."""
    base = nextset.spec("llamagen/tiny")
    recurrent = replace(base, backbone=replace(base.backbone, mixer=PART))  # type: ignore[call-arg]
    for wiring, order in ((Instructions(2), Random(3)), (Masked(), Random()), (Queries(), Random())):
        with pytest.raises(UsageError, match=f"{type(wiring).__name__}.*Llama.*Mamba2"):
            replace(recurrent, wiring=wiring, order=order).network()
    replace(recurrent, wiring=Instructions(2), order=Random()).network()


def test_a_memory_of_mamba_takes_any_order_of_one_site_a_step() -> None:
    base = replace(nextset.spec("llamagen/tiny"), order=Random(3))
    two_pass = TwoPass(16, 2, PART, 2, hidden_multiple=16)
    replace(base, wiring=Queries(), backbone=two_pass).network()
    with pytest.raises(UsageError, match="Queries.*TwoPass.*Mamba2"):
        replace(base, wiring=Queries(Mutual()), backbone=two_pass).network()
    with pytest.raises(UsageError, match="Shift.*TwoPass"):
        replace(
            base, order=nextset.spec("llamagen/tiny").order, backbone=replace(two_pass, mixer=Attention(2))
        ).network()


def test_an_order_that_is_changed_later_is_checked_too() -> None:
    """A model is often drawn from in other steps than it was built with."""
    base = nextset.spec("llamagen/tiny")
    recurrent = replace(base.backbone, mixer=PART)  # type: ignore[call-arg]
    model = replace(base, wiring=Instructions(2), order=Random(), backbone=recurrent).build()
    model.system = replace(model.system, order=Random(3))
    with pytest.raises(UsageError, match="Instructions.*Mamba2"):
        model.generate(0)


def test_padding_is_refused() -> None:
    module = PART.build(DIM, 0.0)
    padded = Mask(causal=True).padded(torch.tensor([[False, True, True]]), 3, 3)
    with pytest.raises(UsageError, match="Mamba2 .*padding"):
        module(torch.randn(1, 3, DIM), Context(None, padded))


def test_sizes_are_checked() -> None:
    with pytest.raises(UsageError, match="head_dim must divide"):
        Mamba2(4, 7).build(DIM, 0.0)
    with pytest.raises(UsageError, match="conv must be at least 2"):
        Mamba2(conv=1)
