"""Bits per dimension: how many bits a lossless coder driven by the model spends on one channel of one pixel.

    bits/dim(x) = -ln p(x) / (D ln 2),   D = C H W

The mean over a held-out split is the field's likelihood figure; its standard error is the sample deviation over sqrt(count).
It is a figure of pixels only where the model's tokens are the pixels. Legend: B batch, C channels, H height, W width, M, N images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import NextsetError, UsageError

LogProb = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Bits:
    """Mean bits per dimension of `count` images, and the standard error of that mean (NaN for a single image)."""

    mean: float
    error: float
    count: int


def bits_per_dim(log_prob: LogProb, batches: Iterable[tuple[Tensor, Tensor]], dims: int) -> Bits:
    """Bits per dimension of `log_prob(images, labels, first) -> (B,) nats` over batches of (images, labels); `dims` is C H W.

    `first` is the number of the batch's first image, so that what is drawn for an image (its order) does not depend on the batch.
    Raises NextsetError naming the first image whose log probability is not finite.
    """
    if dims < 1:
        raise UsageError(f"dims must be the number of channel values of an image, got {dims}")
    found: list[Tensor] = []
    seen = 0
    for images, labels in batches:
        nats = log_prob(images, labels, seen).detach().double().cpu()
        if nats.shape != (len(images),):
            raise UsageError(
                f"log_prob must return one number for each of {len(images)} images, got {tuple(nats.shape)}"
            )
        for i in (~torch.isfinite(nats)).nonzero().flatten().tolist()[:1]:
            raise NextsetError(f"image {seen + i} of the data has log probability {nats[i].item()}; check the weights")
        found.append(nats)
        seen += len(nats)
    if not seen:
        raise UsageError("batches: bits per dimension need at least one image")
    return _summary(-torch.cat(found) / (dims * math.log(2)))


def _summary(bits: Tensor) -> Bits:
    error = bits.std().item() / math.sqrt(len(bits)) if len(bits) > 1 else math.nan
    return Bits(bits.mean().item(), error, len(bits))


# -- what a model has to beat


def quantise(images: Tensor, levels: int) -> Tensor:
    """Levels 0..levels-1 (int64) nearest to float images in [-1, 1], evenly spaced as `tokenizers.pixel` spaces them."""
    return ((images.clamp(-1, 1) + 1) * (0.5 * (levels - 1))).round().long()


def uniform_bits(levels: int) -> float:
    """Bits per dimension of the coder that knows nothing but the number of levels: log2(levels)."""
    if levels < 1:
        raise UsageError(f"levels must be at least 1, got {levels}")
    return math.log2(levels)


def histogram_bits(train: Tensor, test: Tensor, levels: int) -> Bits:
    """Bits per dimension on `test` (N, ...) of independent sites, each with its own histogram of `train` (M, ...) plus one.

    Both hold levels 0..levels-1: p(site i = v) = (count of v at i + 1) / (M + levels).
    """
    train, test = train.flatten(1).long(), test.flatten(1).long()
    if train.shape[1] != test.shape[1] or not (len(train) and len(test)):
        raise UsageError(
            f"train and test must hold images of one size, got {tuple(train.shape)} and {tuple(test.shape)}"
        )
    if min(train.min(), test.min()) < 0 or max(train.max(), test.max()) >= levels:
        raise UsageError(f"train and test must hold levels from 0 to {levels - 1}; see quantise")
    counts = torch.ones(train.shape[1], levels, dtype=torch.float64, device=train.device)
    counts.scatter_add_(1, train.T, torch.ones_like(train.T, dtype=torch.float64))
    bits = -(counts / counts.sum(1, keepdim=True)).log2()
    return _summary(bits.gather(1, test.T).mean(0).cpu())
