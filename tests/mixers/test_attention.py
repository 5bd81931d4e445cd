"""Attention against softmax written out, grouped queries, masks, and a cache with passing slots."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nextset import UsageError
from nextset.layout import grid
from nextset.mixers import Attention, Context
from nextset.mixers.attention import AttentionModule
from nextset.mixers.keeping import Whole
from nextset.nn.rotary import Rotary, rotate
from nextset.slots import NEVER, Mask, SlotTable

DIM, LENGTH, BATCH = 16, 6, 2
NO_ROTARY = Context(None, Mask())


def module(heads: int, groups: int = 0) -> AttentionModule:
    return Attention(heads, groups).build(DIM, 0.0).double()


def inputs() -> Tensor:
    return torch.randn(BATCH, LENGTH, DIM).double()


def written_out(attention: AttentionModule, x: Tensor, seen: Tensor, rotary: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, head by head; head h reads the keys of group h // (heads / groups)."""
    d, heads, groups = attention.head_dim, attention.heads, attention.groups
    q, k, v = attention.qkv(x).split([heads * d, groups * d, groups * d], dim=-1)
    outputs = []
    for head in range(heads):
        group = head // (heads // groups)
        mine, key, value = (t[..., i * d : (i + 1) * d] for t, i in ((q, head), (k, group), (v, group)))
        if rotary is not None:
            mine, key = (rotate(t[:, None], rotary)[:, 0] for t in (mine, key))
        scores = (mine @ key.mT / d**0.5).masked_fill(~seen, -torch.inf)
        outputs.append(scores.softmax(-1) @ value)
    return attention.out(torch.cat(outputs, -1))


@pytest.mark.parametrize(("heads", "groups"), [(1, 0), (4, 0), (4, 2), (4, 1)])
@pytest.mark.parametrize("turned", [False, True])
def test_is_the_formula(heads: int, groups: int, turned: bool) -> None:
    """Full, causal and arbitrary masks."""
    attention, x = module(heads, groups), inputs()
    rotary = Rotary(grid(2, 3), DIM // heads, 100.0)(torch.arange(LENGTH) - 1) if turned else None
    some = torch.rand(LENGTH, LENGTH) < 0.5
    some |= torch.eye(LENGTH, dtype=torch.bool)
    everything = torch.ones(LENGTH, LENGTH, dtype=torch.bool)
    for mask, seen in ((Mask(), everything), (Mask(causal=True), everything.tril()), (Mask(dense=some), some)):
        expected = written_out(attention, x, seen, rotary)
        torch.testing.assert_close(attention(x, Context(rotary, mask)), expected, rtol=1e-10, atol=1e-12)


def test_grouped_queries_are_repeated_heads() -> None:
    """A full module whose key and value heads are copies of the groups' computes the same."""
    grouped, full, x = module(4, 2), module(4), inputs()
    d = grouped.head_dim
    q, k, v = grouped.qkv.weight.split([4 * d, 2 * d, 2 * d])
    repeated = [t.unflatten(0, (2, d)).repeat_interleave(2, 0).flatten(0, 1) for t in (k, v)]
    full.load_state_dict({"qkv.weight": torch.cat([q, *repeated]), "out.weight": grouped.out.weight})
    torch.testing.assert_close(grouped(x, NO_ROTARY), full(x, NO_ROTARY), rtol=1e-10, atol=1e-12)
    assert grouped.state(1, 4, x).k.numel() * 2 == full.state(1, 4, x).k.numel()


def test_passing_slots_leave_no_trace() -> None:
    """Queries that are not kept are overwritten by the next call: the rest is as if they had never been."""
    attention, x = module(2), inputs()
    kinds = np.array([0, 0, 1, 0, 1, 1])  # 1: a query that nobody sees
    step = np.array([0, 1, 1, 2, 2, 2])
    table = SlotTable.of(step, step, step, avail=np.where(kinds, NEVER, step), sees=step)
    whole = attention(x, Context(None, Mask.between(table, table)))
    state, kept = attention.state(BATCH, LENGTH, x), np.array([], dtype=int)
    for start, end, keep in ((0, 1, 1), (1, 3, 1), (3, 6, 1)):
        keys = np.concatenate([kept, np.arange(start, end)])
        mask = Mask.between(table.take(slice(start, end)), table.take(keys))
        out = attention(x[:, start:end], Context(None, mask, keep), state)
        torch.testing.assert_close(out, whole[:, start:end], rtol=1e-10, atol=1e-12)
        kept = np.concatenate([kept, np.arange(start, start + keep)])
    assert isinstance(state, Whole)
    assert state.kept == 3


def test_padding_is_a_mask_a_sample() -> None:
    """Keys hidden from one sample alone."""
    attention, x = module(2), inputs()
    valid = torch.ones(BATCH, LENGTH, dtype=torch.bool)
    valid[0, :2] = False
    mixed = attention(x, Context(None, Mask(causal=True).padded(valid, LENGTH, LENGTH)))
    short = attention(x[:1, 2:], Context(None, Mask(causal=True)))
    torch.testing.assert_close(mixed[:1, 2:], short, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(mixed[1:], attention(x[1:], Context(None, Mask(causal=True))), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("heads", "groups"), [(3, 0), (4, 3), (2, 4)])
def test_heads_that_do_not_divide_are_refused(heads: int, groups: int) -> None:
    with pytest.raises(UsageError, match="heads must divide dim=16"):
        Attention(heads, groups).build(DIM, 0.0)


def test_half_precision() -> None:
    attention, x = module(2), inputs()
    exact = attention(x, NO_ROTARY)
    rough = attention.bfloat16()(x.bfloat16(), NO_ROTARY)
    assert rough.dtype == torch.bfloat16
    assert (rough.double() - exact).abs().max() < 0.02  # outputs of size 0.3, 8 bits of mantissa
