"""Independent codes: as many logits as codes have values, drawn and scored one by one."""

from __future__ import annotations

import pytest
import torch

from nextset import Pick, UsageError
from nextset.heads import Independent
from nextset.heads.independent import IndependentModule
from nextset.layout import Continuous, Discrete
from nextset.noise import Noise
from tests.laws.parts import CODEC

BITS = Discrete(2, codes=7)


def lively(generator: torch.Generator) -> IndependentModule:
    module = Independent().build(4, BITS, CODEC)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def test_logits_grow_with_codes_not_with_tokens() -> None:
    """2 d rows where one softmax over tokens would take 2^d; those of a bit lie together."""
    module = Independent().build(4, Discrete(2, codes=32), CODEC)
    assert module.project.weight.shape == (64, 4)
    logits = module.logits(torch.randn(2, 3, 4))
    assert logits.shape == (2, 3, 32, 2)
    assert torch.equal(logits.flatten(2), module.project(torch.zeros(2, 3, 4)))  # as std 0 says


@torch.no_grad()
def test_each_bit_is_drawn_by_its_own_sigmoid(generator: torch.Generator) -> None:
    """Marginals of many draws, and no correlation between two bits."""
    module, hidden, count = lively(generator), torch.randn(4, generator=generator), 4000
    numbers = module.draw(Noise(0, range(count)), 1)
    bits = module.sample(hidden.expand(count, 1, -1), None, 1.0, numbers, Pick())[:, 0].double()
    logits = module.logits(hidden.expand(1, 1, -1))[0, 0].double()
    chance = (logits[:, 1] - logits[:, 0]).sigmoid()
    assert ((bits.mean(0) - chance).abs() < 4 * (chance * (1 - chance) / count).sqrt() + 1e-3).all()
    sure = (chance > 0.02) & (chance < 0.98)
    correlations = torch.corrcoef(bits[:, sure].T).triu(1)
    assert sure.sum() > 1
    assert correlations.abs().max() < 4 / count**0.5


@torch.no_grad()
def test_codes_add_up(generator: torch.Generator) -> None:
    """The cost of a token is the sum of those of its codes; guidance acts on each."""
    module, target = lively(generator), torch.randint(2, (2, 3, 7), generator=generator)
    hidden, other = torch.randn(2, 2, 3, 4, generator=generator)
    assert torch.equal(module.loss(hidden, target), module.losses(hidden, target).sum(-1))
    guided = module.log_probs(hidden, target, other, 2.0)
    expected = (2 * module.logits(hidden) - module.logits(other)).log_softmax(-1).gather(-1, target[..., None])
    torch.testing.assert_close(guided, expected[..., 0])


@pytest.mark.parametrize("unit", [Discrete(5), Continuous(3)], ids=str)
def test_tokens_without_codes_are_refused(unit: Discrete | Continuous) -> None:
    with pytest.raises(UsageError, match="Independent needs several ids"):
        Independent().build(4, unit, CODEC)
