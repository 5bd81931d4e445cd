"""Every condition: what it takes, what it refuses, what it drops."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import UsageError
from nextset.conditions import Condition, Conditioning, ConditionModule, Unconditional

from .parts import toys
from .requests import REFUSED, asked

DIM, CPU = 8, torch.device("cpu")
CLOSE = dict(rtol=1e-5, atol=1e-8)  # float32, and initial slots of 1e-4
over_conditions = pytest.mark.parametrize("part", toys(Condition), ids=str)
over_guidable = pytest.mark.parametrize("part", [part for part in toys(Condition) if part.guidable], ids=str)


def prepared(part: Condition, module: ConditionModule, batch: int) -> Tensor:
    """What it makes of what a user might ask."""
    return module.prepare(asked(part, batch), batch, CPU)


def same(a: Conditioning, b: Conditioning) -> bool:
    """Equal up to what the order of sums leaves."""
    pairs = ((getattr(a, f.name), getattr(b, f.name)) for f in fields(Conditioning))
    return all(x is y is None or torch.allclose(x.double(), y.double(), **CLOSE) for x, y in pairs)


def told(conditioning: Conditioning) -> Tensor:
    """The slots, or where there are none the vector as one, (B, P, D)."""
    return conditioning.prefix if conditioning.prefix.shape[1] else conditioning.vector[:, None]  # type: ignore[index]


def take(conditioning: Conditioning, rows: slice) -> Conditioning:
    """Some samples of a batch."""
    values = (getattr(conditioning, f.name) for f in fields(Conditioning))
    return Conditioning(*(None if v is None else v[rows] for v in values))  # type: ignore[arg-type]


@over_conditions
def test_prepare_counts_the_samples(part: Condition) -> None:
    """One row a sample; without a count as many as are asked for; what is prepared stays as it is."""
    module = part.build(DIM)
    rows = prepared(part, module, 5)
    assert len(rows) == 5
    assert torch.equal(module.prepare(rows, 5, CPU), rows)
    assert torch.equal(module.prepare(rows, None, CPU), rows)
    with pytest.raises(UsageError, match="condition"):
        module.prepare(rows, 4, CPU)


@over_conditions
def test_nothing_asked(part: Condition) -> None:
    """None asks nothing of any sample: what training without the condition sees."""
    module = part.build(DIM).eval()
    rows = module.prepare(None, 3, CPU)
    assert len(rows) == 3
    if part.guidable:
        assert same(module(rows), module.null(rows))


@pytest.mark.parametrize(
    ("part", "wrong"), [(part, wrong) for part in toys(Condition) for wrong in REFUSED[type(part)]], ids=repr
)
def test_bad_input_is_refused(part: Condition, wrong: Any) -> None:
    """In one sentence that names the argument."""
    with pytest.raises(UsageError, match="condition"):
        part.build(DIM).prepare(wrong, None, CPU)


@over_conditions
def test_slots(part: Condition) -> None:
    """P slots of the width, the last one no padding; each sample's its own."""
    module = part.build(DIM).eval().double()  # whose rounding, by the size of a batch, is far below what is allowed
    rows = prepared(part, module, 4)
    conditioning = module(rows)
    assert conditioning.prefix.shape == (4, part.slots, DIM)
    if conditioning.valid is not None:
        assert conditioning.valid.shape == (4, part.slots)
        assert conditioning.valid.dtype == torch.bool
        assert conditioning.valid[:, -1].all(), "the last slot predicts the first token"
    for i in range(4):
        alone = module(rows[i : i + 1])
        assert torch.allclose(alone.prefix, conditioning.prefix[i : i + 1], **CLOSE)


@over_guidable
def test_null_does_not_know_what_was_asked(part: Condition) -> None:
    """The unguided half is the same vector for everybody, under each sample's own padding: of what is pooled, for equal lengths."""
    module = part.build(DIM).eval()
    rows = prepared(part, module, 4)
    conditional, null = module(rows), module.null(rows)
    for first, other in itertools.combinations(range(4), 2):
        if null.audible is None or torch.equal(null.audible[first], null.audible[other]):
            assert torch.allclose(told(null)[first], told(null)[other], **CLOSE)
            assert null.heard is None or torch.allclose(null.heard[first], null.heard[other], **CLOSE)
    assert not torch.allclose(told(null)[0], told(conditional)[0], **CLOSE)
    assert (null.valid is None) == (conditional.valid is None)
    if null.valid is not None and conditional.valid is not None:
        assert torch.equal(null.valid, conditional.valid)
    if null.audible is not None and conditional.audible is not None:
        assert torch.equal(null.audible, conditional.audible)
    joined = conditional.join(null)
    assert same(take(joined, slice(4)), conditional)
    assert same(take(joined, slice(4, 8)), null)


@over_guidable
def test_dropout_rate(part: Condition) -> None:
    """Dropping replaces the stated fraction of rows by the null condition, whole rows, and only when asked to."""
    module, count = part.build(DIM), 3000
    rows = prepared(part, module, count)
    rate: float = part.dropout  # type: ignore[attr-defined]
    assert 0 < rate < 1
    with torch.no_grad():
        kept, null, mixed = module(rows), module.null(rows), module(rows, drop=True)
        assert same(module(rows, drop=False), kept)
    dropped = torch.isclose(told(mixed), told(null), **CLOSE).flatten(1).all(1)
    whole = torch.where(dropped[:, None, None], told(null), told(kept))
    assert torch.allclose(told(mixed), whole, **CLOSE)
    assert abs(dropped.float().mean() - rate) < 4 * (rate * (1 - rate) / count) ** 0.5  # 4 sigma
    never = replace(part, dropout=0.0).build(DIM)  # type: ignore[call-arg]
    never.load_state_dict(module.state_dict())
    assert same(never(rows, drop=True), kept)


def test_unconditional_has_no_null() -> None:
    module = Unconditional().build(DIM)
    with pytest.raises(UsageError, match="guidance"):
        module.null(module.prepare(None, 2, CPU))
