"""Bits per dimension against distributions whose entropy is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nextset.data.digits import Digits
from nextset.data.loader import once
from nextset.errors import NextsetError, UsageError
from nextset.evaluate.bits import bits_per_dim, histogram_bits, quantise, uniform_bits


def digits(split: str) -> Tensor:
    return torch.cat([b.images for b in once(Digits(split), 500, (8, 8), 1)])


def test_the_uniform_distribution_takes_log2_of_the_levels() -> None:
    batches = [(torch.zeros(n, 1, 2, 3), torch.zeros(n, dtype=torch.int64)) for n in (4, 4, 1)]
    found = bits_per_dim(lambda x, y, first: torch.full((len(x),), -6 * math.log(17)), batches, dims=6)
    assert found.mean == pytest.approx(uniform_bits(17), rel=1e-6)  # log_prob is float32
    assert found.count == 9
    assert found.error < 1e-7


def test_mean_and_error_are_those_of_the_images() -> None:
    nats = torch.tensor([1.0, 2.0, 4.0, 5.0])
    batches = [(nats[i : i + 2], nats[i : i + 2]) for i in (0, 2)]
    found = bits_per_dim(lambda x, y, first: -y * math.log(2), batches, dims=1)
    assert found.mean == pytest.approx(3.0, rel=1e-6)
    assert found.error == pytest.approx(math.sqrt((4 + 1 + 1 + 4) / 3) / 2, rel=1e-6)


def test_a_bad_probability_names_its_image() -> None:
    batches = [(torch.zeros(3), torch.zeros(3)), (torch.zeros(3), torch.zeros(3))]
    answers = iter([torch.zeros(3), torch.tensor([0.0, -torch.inf, 0.0])])
    with pytest.raises(NextsetError, match="image 4 .* -inf"):
        bits_per_dim(lambda x, y, first: next(answers), batches, dims=1)
    with pytest.raises(UsageError, match="one number for each"):
        bits_per_dim(lambda x, y, first: torch.zeros(()), batches, dims=1)
    with pytest.raises(UsageError, match="at least one"):
        bits_per_dim(lambda x, y, first: y, [], dims=1)


def test_the_histogram_by_hand() -> None:
    train = torch.tensor([[0, 1], [0, 1], [0, 0]])  # with one more of each: site 0 has 4, 1 of 5; site 1 has 2, 3 of 5
    found = histogram_bits(train, torch.tensor([[0, 1], [1, 0]]), levels=2)
    expected = [-(math.log2(4 / 5) + math.log2(3 / 5)) / 2, -(math.log2(1 / 5) + math.log2(2 / 5)) / 2]
    assert found.mean == pytest.approx(sum(expected) / 2, abs=1e-12)
    assert found.error == pytest.approx(abs(expected[0] - expected[1]) / 2, abs=1e-12)


def test_the_histogram_approaches_the_entropy(generator: torch.Generator) -> None:
    p = torch.tensor([0.5, 0.25, 0.25])
    draws = torch.multinomial(p, 40000, replacement=True, generator=generator).view(-1, 4)
    assert histogram_bits(draws[:5000], draws[5000:], 3).mean == pytest.approx(
        1.5, abs=0.02
    )  # 20 000 draws of deviation 0.5


def test_baselines_of_the_digits() -> None:
    train, test = quantise(digits("train"), 17), quantise(digits("test"), 17)
    assert train.unique().tolist() == list(range(17))
    found = histogram_bits(train, test, 17)
    assert found.count == 360
    assert 2.0 < found.mean < 3.0 < uniform_bits(17)  # most sites are nearly always black or white


def test_misfits_are_refused() -> None:
    with pytest.raises(UsageError, match="levels from 0 to 1"):
        histogram_bits(torch.zeros(2, 3), torch.full((2, 3), 2), 2)
    with pytest.raises(UsageError, match="one size"):
        histogram_bits(torch.zeros(2, 3), torch.zeros(2, 4), 2)
