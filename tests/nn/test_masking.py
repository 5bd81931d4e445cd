"""Masking schedules: ends, direction, and rates against finite differences."""

from __future__ import annotations

import pytest
import torch

from nextset import UsageError
from nextset.nn.masking import Arccos, Cosine, Masking, Power

over_curves = pytest.mark.parametrize("curve", [Power(), Power(3.0), Power(0.5), Cosine(), Arccos()], ids=str)


@over_curves
def test_it_falls_from_all_to_nothing(curve: Masking) -> None:
    shares = curve.share(torch.linspace(0, 1, 33, dtype=torch.float64))
    assert shares[0] == pytest.approx(1)
    assert shares[-1] == pytest.approx(0, abs=1e-12)
    assert (shares.diff() < 0).all()


@over_curves
def test_the_rate_is_its_slope(curve: Masking) -> None:
    done, step = torch.linspace(0.05, 0.95, 19, dtype=torch.float64), 1e-6
    slope = (curve.share(done - step) - curve.share(done + step)) / (2 * step)
    torch.testing.assert_close(curve.rate(done), slope, rtol=1e-6, atol=1e-8)


def test_closed_forms() -> None:
    assert Power(2.0).at(0.5) == pytest.approx(0.25)
    assert Cosine().at(2 / 3) == pytest.approx(0.5)
    assert Arccos().at(0.5) == pytest.approx(2 / 3)


def test_an_exponent_must_fall() -> None:
    with pytest.raises(UsageError, match="exponent"):
        Power(0.0)
