"""Annealed order: the share of random samples over the training, and what is drawn at each share."""

from __future__ import annotations

import pytest
import torch

import nextset
from nextset import UsageError
from nextset.layout import grid
from nextset.noise import Noise
from nextset.orders import Annealed, Mixture, Random, Raster

from ..laws.toys import lively


@pytest.mark.parametrize(
    ("step", "share"), [(0, 1.0), (125000, 1.0), (140625, 0.75), (156250, 0.5), (187500, 0.0), (249999, 0.0)]
)
def test_the_published_schedule(step: int, share: float) -> None:
    """250,000 steps: random to 125,000, then linearly to raster at 187,500."""
    assert Annealed().share(step / 250000) == pytest.approx(share)


def test_orders_on_the_way() -> None:
    assert Annealed().trained(0.0) == Annealed().trained(0.5) == Random()
    assert Annealed(0.25, 0.75).trained(0.5) == Mixture(0.5)
    assert Annealed().trained(0.75) == Annealed().trained() == Raster()
    assert Annealed(0.0, 0.0).trained(0.0) == Annealed(1.0, 1.0).trained(1.0) == Raster()
    assert Annealed(0.5, 0.5).trained(0.5) == Raster()
    assert Annealed(0.5, 0.5).trained(0.49) == Random()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_samples_is_random(share: float) -> None:
    """The others go row by row; the random ones go everywhere equally often."""
    perm = Mixture(share).plan(grid(3, 3), Noise(0, range(2000))).perm
    shuffled = (perm != torch.arange(9)).any(1)
    assert shuffled.double().mean().item() == pytest.approx(share, abs=0.04)  # 4 sigma; by chance raster: 1 in 362880
    if share:
        first = torch.bincount(perm[shuffled][:, 0], minlength=9) / shuffled.sum()
        assert (first - 1 / 9).abs().max() < 0.05


def test_edits_go_in_raster_and_say_what_they_cannot_heed() -> None:
    """A model of the raster does not start with what is given; one that stays random would."""
    model = lively(nextset.spec("rar/tiny"))
    images, mask = model.generate([0, 1], seed=1), torch.zeros(4, 4, dtype=torch.bool)
    mask[:2] = True
    with pytest.warns(UserWarning, match="kept sites"):
        model.edit(images, mask, [0, 1])


@pytest.mark.parametrize("wrong", [(0.8, 0.5), (-0.1, 0.5), (0.5, 1.1)])
def test_parts_of_the_training(wrong: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="start and stop"):
        Annealed(*wrong)
    with pytest.raises(UsageError, match="share"):
        Mixture(1.5)
