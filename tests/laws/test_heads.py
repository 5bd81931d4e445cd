"""Every head, on each alphabet that it takes: what it says and what it draws are one distribution."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from nextset import Pick, UsageError
from nextset.heads import Head, HeadModule
from nextset.layout import Continuous, Discrete, Unit
from nextset.noise import Noise

from .parts import CODEC, UNITS, accepts, toys
from .toys import assert_drawn_from

DIM, DRAWS = 4, 6000
CASES = [(head, unit) for head in toys(Head) for unit in UNITS if accepts(head.build, DIM, unit, CODEC)]
over_units = pytest.mark.parametrize(("head", "unit"), CASES, ids=str)


def built(head: Head, unit: Unit) -> HeadModule:
    """The head with weights that say something."""
    module = head.build(DIM, unit, CODEC).double()
    if isinstance(unit, Discrete):
        table = nn.Parameter(torch.randn(unit.vocab, DIM).double())
        module.tie(lambda: table)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return module.eval()


def every_token(unit: Unit) -> Tensor:
    """All tokens of an alphabet, (1, V) or (1, V^Q, Q)."""
    if not isinstance(unit, Discrete):
        pytest.skip("only finite alphabets can be listed")
    rows = torch.tensor(list(itertools.product(range(unit.vocab), repeat=unit.codes)))
    return (rows[:, 0] if unit.codes == 1 else rows)[None]


def log_probs(module: HeadModule, hidden: Tensor, unit: Unit) -> Tensor:
    """ln p of every token given one hidden vector (D,)."""
    tokens = every_token(unit)
    with torch.no_grad():
        return module.log_prob(hidden.expand(1, tokens.shape[1], -1), tokens)[0]


def drawn(module: HeadModule, hidden: Tensor, unguided: Tensor | None, scale: float, pick: Pick) -> Tensor:
    """Tokens (DRAWS, ...) given one hidden vector, with the head's own random numbers."""
    numbers = module.draw(Noise(1, range(DRAWS)), 1)
    rows = None if unguided is None else unguided.expand(DRAWS, 1, -1)
    with torch.no_grad():
        return module.sample(hidden.expand(DRAWS, 1, -1), rows, scale, numbers, pick)[:, 0]


def counts(tokens: Tensor, unit: Unit) -> Tensor:
    """How often each token of the alphabet was drawn, in the order of `every_token`."""
    assert isinstance(unit, Discrete)
    place = unit.vocab ** torch.arange(unit.codes - 1, -1, -1)
    ids = tokens if unit.codes == 1 else (tokens * place).sum(-1)
    return torch.bincount(ids, minlength=unit.vocab**unit.codes)


@pytest.mark.parametrize("head", toys(Head), ids=str)
def test_takes_some_alphabet(head: Head) -> None:
    """What it does not take is refused by name (`accepts` sees to the kind of error)."""
    assert any(case[0] is head for case in CASES)


@over_units
def test_probabilities_sum_to_1(head: Head, unit: Unit) -> None:
    module, hidden = built(head, unit), torch.randn(DIM).double()
    assert abs(log_probs(module, hidden, unit).exp().sum() - 1) < 1e-12


@over_units
def test_sampling_follows_log_prob(head: Head, unit: Unit) -> None:
    every_token(unit)  # skips vectors
    module, hidden = built(head, unit), torch.randn(DIM).double()
    tokens = drawn(module, hidden, None, 1.0, Pick())
    assert_drawn_from(counts(tokens, unit), log_probs(module, hidden, unit).exp() * DRAWS)


@over_units
@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_guided_sampling_follows_the_definition(head: Head, unit: Unit, scale: float) -> None:
    """u + s (c - u) on log-probabilities, normalised again: 0 is the unconditional, 1 the conditional distribution."""
    module = built(head, unit)
    asked, unasked = torch.randn(2, DIM).double()
    if isinstance(unit, Discrete) and unit.codes > 1:
        pytest.skip("the codes of one token are guided one after the other")
    c, u = log_probs(module, asked, unit), log_probs(module, unasked, unit)
    expected = (u + scale * (c - u)).softmax(-1)
    assert_drawn_from(counts(drawn(module, asked, unasked, scale, Pick()), unit), expected * DRAWS)


@over_units
def test_temperature_0_takes_the_likeliest(head: Head, unit: Unit) -> None:
    every_token(unit)  # skips vectors
    module, hidden = built(head, unit), torch.randn(DIM).double()
    tokens = drawn(module, hidden, None, 1.0, Pick(temperature=0))
    assert (tokens == tokens[0]).all()
    if isinstance(unit, Discrete) and unit.codes == 1:
        assert tokens[0] == log_probs(module, hidden, unit).argmax()


@over_units
def test_draws_are_each_samples_own(head: Head, unit: Unit) -> None:
    """The random numbers of a sample are the same whatever else is in the batch, and enough for every site."""
    module = built(head, unit)
    together = module.draw(Noise(2, range(4)), 3)
    assert together.shape[:2] == (4, 3)
    assert torch.equal(module.draw(Noise(2, (3, 1)), 3), together[[3, 1]])


@over_units
def test_loss_is_one_number_a_site_and_teaches(head: Head, unit: Unit) -> None:
    module, tokens = built(head, unit).train(), every_token(unit)
    hidden = torch.randn(1, tokens.shape[1], DIM).double().requires_grad_()
    loss = module.loss(hidden, tokens)
    assert loss.shape == tokens.shape[:2]
    loss.sum().backward()
    assert hidden.grad is not None
    assert (hidden.grad.abs().sum(-1) > 0).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


# -- vectors cannot be listed, so heads that draw them have laws of their own

VECTORS = [(head, unit) for head, unit in CASES if isinstance(unit, Continuous)]
over_vectors = pytest.mark.parametrize(("head", "unit"), VECTORS, ids=str)
SITES = 3


def setting(head: Head, unit: Continuous) -> tuple[HeadModule, Tensor, Tensor]:
    """The head, hidden vectors (2, SITES, DIM) and random numbers for them."""
    module = built(head, unit)
    return module, torch.randn(2, SITES, DIM).double(), module.draw(Noise(1, range(2)), SITES)


@over_vectors
def test_vectors_loss_teaches(head: Head, unit: Continuous) -> None:
    """One number a site, finite, with a gradient for every hidden vector and every weight; as seeded, the same again."""
    module, hidden, _ = setting(head, unit)
    target = torch.randn(2, SITES, unit.dim).double()
    hidden.requires_grad_()
    torch.manual_seed(0)
    loss = module.train().loss(hidden, target)
    assert loss.shape == (2, SITES)
    loss.sum().backward()
    assert hidden.grad is not None
    assert (hidden.grad.abs().sum(-1) > 0).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    torch.manual_seed(0)
    assert torch.equal(module.loss(hidden, target), loss)


def answered(
    module: HeadModule, hidden: Tensor, unguided: Tensor | None, scale: float, numbers: Tensor, pick: Pick
) -> Tensor:
    """Tokens (B, n, ...) from a network that says the same whenever a head asks."""
    return module.answer(lambda noisy=None, read=None: (hidden, unguided), scale, numbers, pick)


@over_vectors
@torch.no_grad()
def test_vectors_are_each_sites_own(head: Head, unit: Continuous) -> None:
    """A site's vector follows from its own hidden vector and numbers alone, guided or not; other numbers give another."""
    module, hidden, numbers = setting(head, unit)
    for unguided, scale in ((None, 1.0), (torch.randn_like(hidden), 2.0)):
        together = answered(module, hidden, unguided, scale, numbers, Pick())
        assert together.shape == (2, SITES, unit.dim)
        alone = answered(
            module, hidden[1:, 1:2], None if unguided is None else unguided[1:, 1:2], scale, numbers[1:, 1:2], Pick()
        )
        torch.testing.assert_close(alone, together[1:, 1:2], rtol=1e-9, atol=1e-9)
        others = answered(module, hidden, unguided, scale, module.draw(Noise(2, range(2)), SITES), Pick())
        assert not torch.isclose(others, together).any()


@over_vectors
@torch.no_grad()
def test_vectors_guided_by_1_or_0_are_one_half(head: Head, unit: Continuous) -> None:
    """u + s (c - u): equal halves guide nowhere, whatever the scale; s = 1 is the conditional half."""
    module, hidden, numbers = setting(head, unit)
    plain = answered(module, hidden, None, 1.0, numbers, Pick())
    torch.testing.assert_close(answered(module, hidden, hidden, 3.0, numbers, Pick()), plain, rtol=1e-9, atol=1e-9)
    other = torch.randn_like(hidden)
    torch.testing.assert_close(answered(module, hidden, other, 1.0, numbers, Pick()), plain, rtol=1e-9, atol=1e-9)
    assert not torch.isclose(answered(module, hidden, other, 2.0, numbers, Pick()), plain).any()


@over_vectors
def test_vectors_have_a_density_or_say_no(head: Head, unit: Continuous) -> None:
    """ln p is finite, one number a site, or refused by name."""
    module, hidden, _ = setting(head, unit)
    try:
        log_prob = module.log_prob(hidden, torch.randn(2, SITES, unit.dim).double())
    except UsageError as error:
        assert type(head).__name__ in str(error)  # noqa: PT017
    else:
        assert log_prob.shape == (2, SITES)
        assert log_prob.isfinite().all()
