"""The share that a batch does not know: the truncated normal distribution, cut where it should be."""

from __future__ import annotations

import pytest
import torch

from nextset.errors import UsageError
from nextset.objectives import MaskedShare


def test_the_published_distribution() -> None:
    """Mean .867 and deviation .0835 of N(1, .25) on [.7, 1], from its closed form; all is unknown about as often as it should."""
    counts = torch.tensor([MaskedShare().unknown(100_000, seed) for seed in range(4000)]).double() / 100_000
    assert counts.min() >= 0.7
    assert counts.max() <= 1
    assert abs(counts.mean() - 0.867) < 0.005
    assert abs(counts.std() - 0.0835) < 0.003
    assert abs((counts < 0.8).double().mean() - (0.211855 - 0.115070) / (0.5 - 0.115070)) < 0.025


def test_the_count_is_rounded_up_and_seeded() -> None:
    part = MaskedShare()
    assert {part.unknown(10, seed) for seed in range(200)} == {8, 9, 10}  # 7 would need a share of .7 exactly
    assert [part.unknown(256, 3)] * 3 == [part.unknown(256, 3) for _ in range(3)]
    assert MaskedShare(1.0).unknown(7, 0) == 7


@pytest.mark.parametrize("values", [(0.0,), (1.5,), (0.5, 1.0, 0.0)])
def test_impossible_shares_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="low"):
        MaskedShare(*values)
