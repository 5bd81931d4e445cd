"""Pictures compared one by one with the pictures that they should be: peak signal-to-noise ratio and structural similarity.

    PSNR = 10 log10(255^2 / mean squared error)
    SSIM = mean over sites of (2 m_a m_b + C1)(2 s_ab + C2) / ((m_a^2 + m_b^2 + C1)(s_a^2 + s_b^2 + C2))

with means, variances and covariance under a Gaussian window of 11x11 and deviation 1.5, C1 = (0.01 * 255)^2, C2 = (0.03 * 255)^2
(Wang et al. 2004, IEEE TIP 13(4)); windows lie wholly inside the picture, channels are averaged, nothing is scaled down first.
Both on 8-bit values, as the pictures would be written. Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import NextsetError, UsageError
from .samples import to_uint8

PEAK = 255.0
WINDOW, DEVIATION = 11, 1.5
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
OUTSIDE = 1e-3  # how far references may leave [-1, 1]


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """(B,) decibels, float64; infinite for equal pictures. `images` in [-1, 1] are the truth, `others` are clipped to it."""
    a, b = _levels(images, others)
    return 10 * torch.log10(PEAK**2 / (a - b).square().flatten(1).mean(1))


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """(B,) similarities in [-1, 1], float64; 1 for equal pictures. UsageError for sides of less than 11 pixels."""
    a, b = _levels(images, others)
    if min(a.shape[-2:]) < WINDOW:
        raise UsageError(
            f"images: SSIM looks through windows of {WINDOW}x{WINDOW}, got pictures of {a.shape[-2]}x{a.shape[-1]}"
        )
    rows, columns = _band(a.shape[-2]), _band(a.shape[-1]).T
    blur = lambda x: rows @ x @ columns
    mean_a, mean_b = blur(a), blur(b)
    vary_a, vary_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    together = blur(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    form = (2 * together + C2) / (vary_a + vary_b + C2)
    return (light * form).flatten(1).mean(1)


def check_pairs(images: Tensor, others: Tensor) -> None:
    """Raises UsageError where these are not pairs of float pictures (B, C, H, W), or the first not in [-1, 1]; NextsetError for NaN."""
    if images.ndim != 4 or images.shape != others.shape:
        raise UsageError(
            f"images and others must be pairs (B, C, H, W) of one shape, got {tuple(images.shape)} and {tuple(others.shape)}"
        )
    if not len(images):
        raise UsageError("images: there are no pictures to compare")
    for name, given in (("images", images), ("others", others)):
        if not given.is_floating_point():
            raise UsageError(
                f"{name} must be floating point in [-1, 1], got {given.dtype}; make 8-bit ones x / 127.5 - 1"
            )
        if not torch.isfinite(given).all():
            raise NextsetError(f"{name} hold NaN or infinity; decode in float32 or check the weights")
    if images.abs().max() > 1 + OUTSIDE:
        low, high = images.min().item(), images.max().item()
        raise UsageError(f"images must lie in [-1, 1], got {low:.4g} to {high:.4g}; make 8-bit ones x / 127.5 - 1")


def _levels(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Both as 8-bit levels (B, C, H, W) in float64, on the CPU, since not every device has that."""
    check_pairs(images, others)
    a, b = (to_uint8(x).cpu().movedim(-1, 1).double() for x in (images, others))
    return a, b


def _band(size: int) -> Tensor:
    """(size - 10, size): row i weighs what the window at i covers."""
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = (-offsets.square() / (2 * DEVIATION**2)).exp()
    band = torch.zeros(size - WINDOW + 1, size, dtype=torch.float64)
    for offset, weight in enumerate(weights / weights.sum()):
        band.diagonal(offset).fill_(weight)
    return band
