"""Random numbers of a batch: one stream a sample."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from nextset import UsageError
from nextset.noise import Noise, mix


def test_a_sample_draws_the_same_in_any_batch() -> None:
    for draw in (lambda n: n.uniform(3), lambda n: n.normal(2, 2), lambda n: n.permutation(5)):
        together = draw(Noise(7, range(4)))
        assert torch.equal(draw(Noise(7, (3, 1))), together[[3, 1]])
        assert torch.equal(draw(Noise(7, range(4))), together)


def test_streams_are_unrelated() -> None:
    """Neighbouring seeds and samples share no numbers, nor are they shifted copies."""
    rows = torch.stack([Noise(seed, [i]).uniform(64)[0] for seed in range(4) for i in range(4)])
    assert len(rows.flatten().unique()) == rows.numel()
    off = rows.corrcoef() - torch.eye(16)
    assert off.abs().max() < 0.5  # 4 sigma of 64 numbers


def test_numbers_go_on() -> None:
    noise = Noise(0, range(2))
    first, second = noise.uniform(3), noise.uniform(3)
    assert not torch.equal(first, second)
    assert torch.equal(torch.cat([first, second], 1), Noise(0, range(2)).uniform(6))


def test_shapes_and_ranges() -> None:
    noise = Noise(0, range(3))
    assert len(noise) == 3
    uniform = noise.uniform(1000)
    assert uniform.dtype == torch.float32
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(noise.normal(4000).std() - 1) < 0.05
    assert sorted(noise.permutation(6)[2].tolist()) == list(range(6))


def test_mix_is_fixed_and_spreads() -> None:
    """Published seeds must not change: the hash is part of the contract."""
    seeds = [mix(0, i) for i in range(1000)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    assert mix(1, 2) != mix(2, 1) != mix("1", 2)
    flipped = [bin(a ^ b).count("1") for a, b in pairwise(seeds)]
    assert 30 < sum(flipped) / len(flipped) < 33  # half of 63 bits
    assert mix(7, 3) == 1134932825916361469


@pytest.mark.parametrize("seed", [1.5, "1", True, None])
def test_seeds_are_integers(seed: object) -> None:
    with pytest.raises(UsageError, match="seed"):
        Noise(seed, range(2))  # type: ignore[arg-type]
