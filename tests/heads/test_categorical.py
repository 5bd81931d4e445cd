"""One linear map to the logits of a token."""

from __future__ import annotations

import math

import pytest
import torch

from nextset import Pick, UsageError
from nextset.heads import Categorical
from nextset.layout import Continuous, Discrete


def test_starts_from_the_uniform_distribution() -> None:
    """A zero matrix: the loss is ln V exactly, whatever the hidden vectors."""
    module = Categorical().build(8, Discrete(7), None)
    loss = module.loss(torch.randn(2, 3, 8), torch.randint(7, (2, 3)))
    assert torch.allclose(loss, torch.tensor(math.log(7)))


def test_log_prob_is_the_log_softmax() -> None:
    module = Categorical(bias=True, std=0.5).build(8, Discrete(5), None)
    hidden, ids = torch.randn(2, 3, 8), torch.randint(5, (2, 3))
    expected = (hidden @ module.project.weight.T + module.project.bias).log_softmax(-1)
    assert torch.allclose(module.log_prob(hidden, ids), expected.gather(-1, ids[..., None])[..., 0])


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5, -1.0])
def test_guided_logits(scale: float) -> None:
    module = Categorical(std=0.5).build(8, Discrete(5), None)
    c, u = torch.randn(2, 1, 3, 8)
    expected = module.logits(u) + scale * (module.logits(c) - module.logits(u))
    assert torch.allclose(module.logits(c, u, scale), expected, atol=1e-6)


def test_logits_are_wide() -> None:
    """In bfloat16 the product is rounded, its softmax is not; float64 stays."""
    for dtype, wide in (
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        module = Categorical(std=0.5).build(8, Discrete(5), None).to(dtype)
        assert module.logits(torch.randn(1, 2, 8, dtype=dtype)).dtype == wide


@pytest.mark.parametrize("unit", [Discrete(5, codes=2), Continuous(4)], ids=str)
def test_other_alphabets_are_refused(unit: Discrete | Continuous) -> None:
    with pytest.raises(UsageError, match="Categorical needs one id a site"):
        Categorical().build(8, unit, None)


def test_one_number_decides_a_token() -> None:
    module = Categorical(std=0.5).build(8, Discrete(5), None)
    hidden, numbers = torch.randn(2, 3, 8), torch.rand(2, 3)
    ids = module.sample(hidden, None, 1.0, numbers, Pick())
    assert ids.shape == (2, 3)
    assert torch.equal(module.sample(hidden[1:], None, 1.0, numbers[1:], Pick()), ids[1:])


def test_smoothed_targets() -> None:
    """In training (1 - s) of a target stays and s is spread over the vocabulary; the likelihood is what it was."""
    smoothed, plain = (Categorical(std=0.5, smoothing=s).build(4, Discrete(5), None) for s in (0.1, 0.0))
    smoothed.load_state_dict(plain.state_dict())
    hidden, target = torch.randn(2, 3, 4), torch.randint(5, (2, 3))
    log_probs = plain.logits(hidden).log_softmax(-1)
    expected = -(0.9 * log_probs.gather(-1, target[..., None])[..., 0] + 0.1 * log_probs.mean(-1))
    torch.testing.assert_close(smoothed.loss(hidden, target), expected)
    torch.testing.assert_close(smoothed.log_prob(hidden, target), plain.log_prob(hidden, target))


def test_confidence_is_the_guided_logit() -> None:
    head = Categorical(bias=True, std=0.5).build(4, Discrete(5), None)
    hidden, unguided, uniform = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.rand(2, 3)
    ids, sure = head.rated(hidden, unguided, 3.0, uniform, Pick())
    assert torch.equal(ids, head.sample(hidden, unguided, 3.0, uniform, Pick()))
    assert torch.equal(sure, head.logits(hidden, unguided, 3.0).gather(-1, ids[..., None])[..., 0])
