"""Every mixer, alone: with a state it computes what it computes without, and states of samples are apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nextset.layout import grid
from nextset.mixers import Context, Mixer, MixerModule
from nextset.nn.rotary import Rotary
from nextset.slots import Mask, SlotTable

from .parts import toys

DIM, LENGTH, BATCH = 16, 7, 3
over_mixers = pytest.mark.parametrize("part", toys(Mixer), ids=str)


class Setting:
    """A mixer in float64 with inputs, a causal mask and, where it takes them, rotary positions."""

    def __init__(self, part: Mixer) -> None:
        self.module: MixerModule = part.build(DIM, 0.0).double()
        self.x = torch.randn(BATCH, LENGTH, DIM).double()
        width = part.rotary_dim(DIM)
        self.rotary = Rotary(grid(2, 3), width, 100.0) if width else None
        step = torch.arange(LENGTH).numpy()
        self.table = SlotTable.of(step, step, step, avail=step, sees=step)

    def context(self, start: int, end: int) -> Context:
        """Of slots [start, end) after the earlier ones."""
        site = torch.arange(start, end) - 1  # the first slot has none
        mask = Mask.between(self.table.take(slice(start, end)), self.table.take(slice(0, end)))
        return Context(self.rotary(site) if self.rotary else None, mask, keep=end - start)

    def whole(self, x: Tensor) -> Tensor:
        return self.module(x, self.context(0, LENGTH))


@over_mixers
@pytest.mark.parametrize("cuts", [(1, 2, 3, 4, 5, 6), (3,), (2, 6)], ids=str)
def test_cached_is_uncached(part: Mixer, cuts: tuple[int, ...]) -> None:
    """Slot by slot or in pieces, all outputs are those of one call."""
    setting = Setting(part)
    state, outputs = setting.module.state(BATCH, LENGTH, setting.x), []
    for start, end in zip((0, *cuts), (*cuts, LENGTH), strict=True):
        outputs.append(setting.module(setting.x[:, start:end], setting.context(start, end), state))
    torch.testing.assert_close(torch.cat(outputs, 1), setting.whole(setting.x), rtol=1e-10, atol=1e-12)


@over_mixers
def test_narrowed_state_is_that_of_the_first_samples(part: Mixer) -> None:
    """Half of a batch goes on alone, from where both were."""
    setting = Setting(part)
    state = setting.module.state(BATCH, LENGTH, setting.x)
    setting.module(setting.x[:, :4], setting.context(0, 4), state)
    rest = setting.module(setting.x[:2, 4:], setting.context(4, LENGTH), state.narrow(2))
    torch.testing.assert_close(rest, setting.whole(setting.x)[:2, 4:], rtol=1e-10, atol=1e-12)


@over_mixers
def test_causal(part: Mixer) -> None:
    """Under a causal mask an output depends on all slots up to its own and on no later one."""
    setting = Setting(part)
    x = setting.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(setting.whole(x)[:, 3].sin().sum(), x)
    size = gradient.abs().sum((0, 2))
    assert (size[4:] == 0).all()
    assert (size[1:4] > 0).all()


@over_mixers
def test_samples_are_apart(part: Mixer) -> None:
    setting = Setting(part)
    alone = setting.whole(setting.x[1:2])
    torch.testing.assert_close(alone, setting.whole(setting.x)[1:2], rtol=1e-10, atol=1e-12)


@over_mixers
def test_dropout_only_in_training(part: Mixer) -> None:
    setting = Setting(replace(part))
    module = part.build(DIM, 0.5).double()
    module.load_state_dict(setting.module.state_dict())
    context = setting.context(0, LENGTH)
    assert torch.equal(module.eval()(setting.x, context), setting.whole(setting.x))
    assert not torch.equal(module.train()(setting.x, context), setting.whole(setting.x))
