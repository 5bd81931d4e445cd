"""Usage, perplexity and bits of codes that are known."""

from __future__ import annotations

import math

import pytest
import torch

from nextset.errors import UsageError
from nextset.evaluate.codes import CodeUsage
from nextset.layout import Discrete


def test_uniform_codes_have_the_perplexity_of_the_codebook() -> None:
    usage = CodeUsage(Discrete(16))
    for row in torch.arange(16).repeat(6, 1).split(2):
        usage.add(row)
    assert usage.usage == 1.0
    assert usage.perplexity == pytest.approx(16, abs=1e-12)
    assert usage.bits(16, 64) == pytest.approx((16 * 4 / 64, 16 * 4 / 64))


def test_a_collapsed_codebook() -> None:
    usage = CodeUsage(Discrete(16))
    usage.add(torch.full((2, 8), 3))
    assert (usage.usage, usage.perplexity, usage.count) == (1 / 16, 1.0, 16)
    assert usage.bits(8, 64) == (8 * 4 / 64, 0.0)


def test_two_codes_at_three_to_one() -> None:
    usage = CodeUsage(Discrete(4))
    usage.add(torch.tensor([[0, 0, 0, 1]]))
    entropy = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert usage.perplexity == pytest.approx(math.exp(entropy), abs=1e-12)
    assert usage.usage == 0.5


def test_codes_of_one_site_are_counted_apart() -> None:
    usage = CodeUsage(Discrete(4, codes=2))
    usage.add(torch.stack([torch.arange(4), torch.zeros(4, dtype=torch.int64)], -1)[None])
    assert usage.usage == pytest.approx((1 + 1 / 4) / 2)
    assert usage.perplexity == pytest.approx((4 + 1) / 2)
    assert usage.bits(4, 16) == pytest.approx((4 * 2 * 2 / 16, 4 * 2 / 16))


def test_misfits_are_refused() -> None:
    for ids, said in (
        (torch.tensor([[4]]), r"0..3, got 4 to 4"),
        (torch.tensor([[-1]]), r"0..3"),
        (torch.zeros(1, 2, 3, dtype=torch.int64), r"whole numbers \(B, N\), got \(1, 2, 3\)"),
        (torch.zeros(1, 2), "whole numbers"),
    ):
        with pytest.raises(UsageError, match=said):
            CodeUsage(Discrete(4)).add(ids)
