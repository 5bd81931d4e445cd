"""Diffusion tables and steps against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from nextset.errors import UsageError
from nextset.nn.diffusion import Even, Spacing, Strided, chain, log_level

CPU = torch.device("cpu")


def test_spacings() -> None:
    assert Even(100).visited(1000)[:4] == (0, 10, 20, 30)
    assert Even(100).visited(1000)[-1] == 999
    assert Even(5).visited(5) == (0, 1, 2, 3, 4)
    assert Strided(25).visited(1000) == tuple(range(0, 1000, 40))


@pytest.mark.parametrize("spacing", [Even(1), Even(1001), Strided(999)])
def test_impossible_spacings_are_refused(spacing: Spacing) -> None:
    with pytest.raises(UsageError, match=type(spacing).__name__):
        spacing.visited(1000)


@pytest.mark.parametrize("spacing", [None, Even(50), Strided(25)])
def test_a_shorter_chain_has_the_noise_of_the_longer_one(spacing: Spacing | None) -> None:
    """At every level visited as much signal is left, and signal and noise keep unit variance."""
    whole, steps = chain(1000, None, CPU), chain(1000, spacing, CPU)
    torch.testing.assert_close(steps.signal, whole.signal[steps.level], rtol=1e-9, atol=0)
    torch.testing.assert_close(steps.signal**2 + steps.noise**2, torch.ones(len(steps), dtype=torch.float64))


def test_backwards_with_the_true_noise_is_the_posterior() -> None:
    """Gaussian data: repeated exact steps turn noise into the data's own distribution."""
    steps, deviation = chain(1000, Even(250), CPU), 0.3
    x = torch.randn(20_000, 1, dtype=torch.float64)
    for t in reversed(range(len(steps))):
        variance = steps.signal[t] ** 2 * deviation**2 + steps.noise[t] ** 2
        eps = x * steps.noise[t] / variance  # E[eps | x_t] for data of mean 0
        share = torch.ones_like(x)  # beta: right where data are as wide as noise, and the last steps forget it
        x = steps.back(x, eps, share, t, torch.randn_like(x) if t else None)
    assert abs(x.mean()) < 0.01
    assert abs(x.std() - deviation) < 0.02


def test_the_bound_is_zero_for_the_truth_and_grows_with_the_error() -> None:
    """With the true noise and the posterior's variance; a wrong mean costs its square over twice the variance, in bits."""
    whole = chain(1000, None, CPU)
    origin, eps = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    t = torch.randint(1, 1000, (5, 3))
    x, share = whole.noised(origin, eps, t), torch.full((5, 3, 4), -1.0, dtype=torch.float64)
    assert whole.bound(origin, x, eps, share, t).abs().max() < 1e-9
    wrong = eps + 0.1
    off = whole.mean(whole.origin(x, wrong, t), x, t) - whole.mean(origin, x, t)
    expected = (0.5 * off.square() * (-whole.log_low[t])[..., None].exp()).mean(-1) / math.log(2)
    torch.testing.assert_close(whole.bound(origin, x, wrong, share, t), expected, rtol=1e-6, atol=1e-9)


def test_grey_levels_have_all_the_probability() -> None:
    levels = torch.linspace(-1, 1, 256, dtype=torch.float64)
    for mean, deviation in ((0.2, 0.3), (-0.99, 0.05), (1.5, 1.0)):
        given = torch.tensor(deviation).log().double().expand(256)
        assert abs(log_level(levels, torch.full_like(levels, mean), given).exp().sum() - 1) < 1e-3
