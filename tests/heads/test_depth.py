"""The depth transformer: what a code knows, and that drawing code by code is what one pass says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nextset.errors import UsageError
from nextset.heads import DepthTransformer
from nextset.heads.depth import DepthTransformerModule
from nextset.layout import Continuous, Discrete
from nextset.mixers import BiasedAttention

VOCAB, CODES, DIM = 6, 3, 8


class Vectors:
    """Codes of width 4."""

    table = torch.randn(VOCAB, 4, generator=torch.Generator().manual_seed(0)).double()

    def embed(self, ids: Tensor) -> Tensor:
        return self.table[ids]

    def feedback(self, tokens: Tensor, scale: int) -> Tensor:
        raise NotImplementedError


def built() -> DepthTransformerModule:
    torch.manual_seed(0)
    return (
        DepthTransformer(2, BiasedAttention(2), std=0.4).build(DIM, Discrete(VOCAB, CODES), Vectors()).double().eval()
    )


def setting() -> tuple[Tensor, Tensor]:
    """Hidden vectors (2, 5, D) and tokens (2, 5, Q)."""
    return torch.randn(2, 5, DIM).double(), torch.randint(VOCAB, (2, 5, CODES))


@pytest.mark.parametrize("changed", range(CODES))
def test_a_code_is_known_to_those_after_it_at_its_site_alone(changed: int) -> None:
    module, (hidden, tokens) = built(), setting()
    other = tokens.clone()
    other[0, 2, changed] = (other[0, 2, changed] + 1) % VOCAB
    differs = (module.logits(hidden, tokens) - module.logits(hidden, other)).abs().amax(-1) > 0
    expected = torch.zeros(2, 5, CODES, dtype=torch.bool)
    expected[0, 2, changed + 1 :] = True
    assert torch.equal(differs, expected)


def test_only_the_sum_of_the_codes_before_matters() -> None:
    """Codes before that change places leave what comes after both."""
    module, (hidden, tokens) = built(), setting()
    swapped = tokens[..., [1, 0, 2]]
    ours, theirs = module.logits(hidden, tokens), module.logits(hidden, swapped)
    # code 3 attends to the slot of code 2, which knows code 1 alone: equal only where both are
    same = tokens[..., 0] == tokens[..., 1]
    assert torch.allclose(ours[same], theirs[same])
    assert torch.equal(ours[..., 0, :], theirs[..., 0, :])


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_drawing_is_teacher_forcing(scale: float) -> None:
    """The logits that each code is drawn from, through the cache, are those of one pass over what was drawn."""
    module, (hidden, _) = built(), setting()
    unguided = torch.randn_like(hidden) if scale != 1 else None
    seen: list[Tensor] = []

    class Greedy:
        temperature = 0.0

        def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
            seen.append(logits)
            return logits.argmax(-1)

    with torch.no_grad():
        ids = module.sample(hidden, unguided, scale, torch.zeros(2, 5, CODES), Greedy())
        whole = module.logits(hidden, ids)
        whole = whole if unguided is None else module.logits(unguided, ids).lerp(whole, scale)
    torch.testing.assert_close(torch.stack(seen, -2), whole, rtol=1e-10, atol=1e-10)


def test_total_is_the_sum_over_the_codes() -> None:
    module, (hidden, tokens) = built(), setting()
    every = module.logits(hidden, tokens).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    torch.testing.assert_close(module.log_prob(hidden, tokens), every.sum(-1))


@pytest.mark.parametrize("unit", [Discrete(5), Continuous(3)])
def test_needs_several_codes(unit: Discrete | Continuous) -> None:
    with pytest.raises(UsageError, match="DepthTransformer"):
        DepthTransformer(1, BiasedAttention(2)).build(DIM, unit, Vectors())
