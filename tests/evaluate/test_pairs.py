"""PSNR and SSIM: closed forms, an independent computation, and pairs that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from nextset.errors import NextsetError, UsageError
from nextset.evaluate import psnr, ssim
from nextset.evaluate.pairs import C1, C2


def grey(level: float, size: int = 16) -> Tensor:
    """A picture of one 8-bit level."""
    return torch.full((1, 1, size, size), level / 127.5 - 1)


def test_psnr_has_its_closed_form() -> None:
    assert psnr(grey(100), grey(110)).item() == pytest.approx(20 * math.log10(255 / 10), abs=1e-12)
    assert psnr(grey(0), grey(255)).item() == 0
    half = torch.cat([grey(100), grey(100)], 1)
    other = torch.cat([grey(100), grey(120)], 1)  # the error is averaged over channels too
    assert psnr(half, other).item() == pytest.approx(10 * math.log10(255**2 / 200), abs=1e-12)
    assert psnr(torch.cat([grey(1), grey(2)]), torch.cat([grey(3), grey(2)])).tolist()[1] == math.inf


def test_pictures_are_compared_as_they_would_be_written() -> None:
    assert psnr(grey(100), grey(100) + 0.4 / 127.5).item() == math.inf
    assert psnr(grey(255), grey(255) + 1).item() == math.inf  # a decoder may leave the range


def test_ssim_of_constants_has_its_closed_form() -> None:
    a, b = 60.0, 140.0  # nothing varies, so only the means count
    assert ssim(grey(a), grey(b)).item() == pytest.approx((2 * a * b + C1) / (a * a + b * b + C1), abs=1e-9)


def test_ssim_of_equal_pictures_is_one_and_of_negatives_is_not(generator: torch.Generator) -> None:
    images = torch.rand(3, 3, 24, 20, generator=generator) * 2 - 1
    torch.testing.assert_close(ssim(images, images), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-12)
    assert (ssim(images, -images) < 0).all()


def test_ssim_against_a_computation_by_scipy(generator: torch.Generator) -> None:
    """As scikit-image with gaussian_weights, sigma=1.5, use_sample_covariance=False and data_range=255: a filter cut off at 5
    pixels, and a border of 5 left out."""
    a, b = (torch.randint(0, 256, (2, 3, 30, 26), generator=generator) for _ in range(2))
    b = (a + b) // 2
    blur = lambda x: gaussian_filter(x, 1.5, truncate=3.5)
    expected = []
    for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True):
        channels = []
        for p, q in zip(x, y, strict=True):
            u, v = blur(p), blur(q)
            vary_p, vary_q, together = blur(p * p) - u * u, blur(q * q) - v * v, blur(p * q) - u * v
            s = (2 * u * v + C1) * (2 * together + C2) / ((u**2 + v**2 + C1) * (vary_p + vary_q + C2))
            channels.append(s[5:-5, 5:-5].mean())
        expected.append(np.mean(channels))
    found = ssim(a.float() / 127.5 - 1, b.float() / 127.5 - 1)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("images", "others", "error", "said"),
    [
        (torch.zeros(2, 3, 16, 16), torch.zeros(3, 3, 16, 16), UsageError, "pairs"),
        (torch.zeros(3, 16, 16), torch.zeros(3, 16, 16), UsageError, "pairs"),
        (torch.zeros(0, 3, 16, 16), torch.zeros(0, 3, 16, 16), UsageError, "no pictures"),
        (
            torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
            torch.zeros(1, 3, 16, 16),
            UsageError,
            "images must be floating",
        ),
        (
            torch.zeros(1, 3, 16, 16),
            torch.zeros(1, 3, 16, 16, dtype=torch.int64),
            UsageError,
            "others must be floating",
        ),
        (torch.full((1, 3, 16, 16), 200.0), torch.zeros(1, 3, 16, 16), UsageError, r"\[-1, 1\], got 200"),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), torch.nan), NextsetError, "others hold NaN"),
    ],
)
def test_what_is_no_pair_is_refused(images: Tensor, others: Tensor, error: type[Exception], said: str) -> None:
    for measure in (psnr, ssim):
        with pytest.raises(error, match=said):
            measure(images, others)


def test_small_pictures_have_no_ssim() -> None:
    with pytest.raises(UsageError, match="11x11, got pictures of 10x16"):
        ssim(torch.zeros(1, 1, 10, 16), torch.zeros(1, 1, 10, 16))
