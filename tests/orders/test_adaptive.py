"""Orders that choose while they decode: how many sites become known when, and which."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nextset import UsageError
from nextset.layout import grid, line
from nextset.nn.masking import Arccos, Cosine, Power
from nextset.noise import Noise
from nextset.orders import Confidence, Random, Unmasking
from nextset.orders.confidence import gumbel

from ..laws.toys import BASE


def test_the_published_counts() -> None:
    """8 steps of 32 sites along the arccosine."""
    left = 32 - torch.tensor(Confidence(8).counts(line(32))).cumsum(0)
    assert left.tolist() == [29, 26, 24, 21, 18, 14, 10, 0]


@pytest.mark.parametrize("curve", [Arccos(), Cosine(), Power(4.0)], ids=str)
@pytest.mark.parametrize(("sites", "steps"), [(1, 1), (4, 2), (16, 6), (16, 16), (64, 8)])
def test_counts_take_all_sites(curve: object, sites: int, steps: int) -> None:
    counts = Confidence(steps, curve).counts(line(sites))  # type: ignore[arg-type]
    assert (len(counts), sum(counts)) == (steps, sites)
    assert min(counts) >= 0
    assert counts[-1] >= 1


def test_the_surest_are_kept() -> None:
    """Without noise the order of confidence is the order of keeping; given sites are no choice."""
    layout, order = line(8), Confidence(4, Power(), noise=(0.0, 0.0))
    chooser = order.chooser(layout, Noise(0, range(2)))
    known = torch.zeros(2, 8, dtype=torch.bool)
    known[1, 0] = True
    sure = torch.arange(8.0).expand(2, -1)
    first = chooser.known_after(0, known, (~known).sum(1, keepdim=True), sure)
    assert first[0].tolist() == [False] * 6 + [True] * 2  # 6 of 8 stay masked
    assert first[1].tolist() == [True] + [False] * 5 + [True] * 2  # 5.25 of 7
    assert chooser.known_after(3, first, torch.tensor([[8], [7]]), sure).all()


def test_gumbel_numbers() -> None:
    """Euler's constant, pi^2 / 6, and finite at both ends."""
    numbers = gumbel(torch.rand(200_000, generator=torch.Generator().manual_seed(0)))
    assert abs(numbers.mean() - 0.5772) < 0.01
    assert abs(numbers.var() - 1.6449) < 0.03
    assert gumbel(torch.tensor([0.0, 1.0])).isfinite().all()


def test_each_site_is_unmasked_in_a_step_of_its_own() -> None:
    """With the probability that the schedule says, whatever the others do."""
    order, layout = Unmasking(4, Power(), Cosine()), grid(2, 2)
    due = order.chooser(layout, Noise(1, range(20_000))).due
    expected = -torch.tensor([1.0, *order.shares]).diff()
    assert torch.allclose((due[..., None] == torch.arange(4)).double().mean((0, 1)).float(), expected, atol=0.01)
    both = ((due[:, 0] == 3) & (due[:, 1] == 3)).double().mean()
    assert abs(both - expected[3] ** 2) < 0.01


def test_the_cosine_grid_is_the_cosine_schedule() -> None:
    """A linear schedule on it unmasks what the cosine schedule does on an even grid (MD4, appendix)."""
    assert Unmasking(8, Power(), Cosine()).shares == pytest.approx(Unmasking(8, Cosine(), Power()).shares)
    assert Unmasking(8).shares == pytest.approx([7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0])


@pytest.mark.parametrize(("sites", "steps"), [(1, 1), (1, 3), (4, 64), (64, 64), (64, 20)])
def test_counts_of_unmasking(sites: int, steps: int) -> None:
    order = Unmasking(steps, grid=Cosine())
    assert (len(order.counts(line(sites))), sum(order.counts(line(sites)))) == (steps, sites)
    assert len(order.sizes(line(sites))) == min(steps, sites) or steps > sites


def test_they_are_trained_as_any_order() -> None:
    assert Confidence(4).trained() == Unmasking(4).trained() == Random()


def test_more_steps_than_sites() -> None:
    with pytest.raises(UsageError, match="steps must be 1 to 4"):
        Confidence(5).counts(grid(2, 2))
    with pytest.raises(UsageError, match="steps"):
        Unmasking(0)


@pytest.mark.parametrize("order", [Confidence(4), Unmasking(4)], ids=str)
def test_they_need_masks(order: Confidence | Unmasking) -> None:
    with pytest.raises(UsageError, match=rf"order {type(order).__name__} .* wiring Shift"):
        replace(BASE, order=order).network()
