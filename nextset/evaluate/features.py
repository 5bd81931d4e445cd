"""What pictures are compared by: named extractors of features, whose figures carry the name and a hash of the weights.

Figures under different extractors, or under one name with other weights, are not comparable; `identity` is what tells them
apart. Legend: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from ..digest import weights_hash
from ..errors import UsageError


class Extractor(nn.Module, ABC):
    """Images (B, C, H, W) float in [-1, 1] to features (B, dim) float32. Always in evaluation mode, never trained further.

    A new one is a subclass that fills in the fields and `_features` (`_both`, `_logits` where it has more); what it does to the pictures first
    (scaling, normalising) happens inside, since figures depend on it.
    """

    name: str  # with its version: "digits-cnn-v1"
    dim: int  # F
    channels: int
    size: tuple[int, int] | None  # the only (H, W) that it takes; None: any, resized inside
    greys: bool = False  # whether it also takes grey pictures, as three equal channels
    classes: int = 0  # of its classifier; 0 where it has none
    aligned: bool = True  # whether its classes have the numbers of the data's, so that accuracy means something
    spatial: int = 0  # features that keep their place in the picture, for the spatial Frechet distance; 0: none
    accuracy: float | None = None  # of the classifier, on held-out real pictures
    comparable: bool = True  # False where its figures mean nothing outside one run

    @abstractmethod
    def _features(self, images: Tensor) -> Tensor: ...

    def _both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        raise UsageError(f"extractor {self.name} has no spatial features; leave sfid out of metrics, or give inception")

    def _logits(self, features: Tensor) -> Tensor:
        raise UsageError(f"extractor {self.name} does not classify; this needs one that does")

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(B, F) float32. Raises UsageError for images that it does not take."""
        return self._features(self._checked(images)).float()

    @torch.no_grad()
    def both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, F) and spatial features (B, spatial), float32, in one pass. Raises UsageError where it has no spatial ones."""
        features, spatial = self._both(self._checked(images))
        return features.float(), spatial.float()

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """Class logits (B, classes) float32 of what `features` returned. Raises UsageError where it does not classify."""
        return self._logits(features).float()

    @property
    def identity(self) -> str:
        """Name and the first 12 hex digits of the hash of the weights."""
        return f"{self.name}:{weights_hash(self)[:12]}"

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        return super().train(False)

    def _checked(self, images: Tensor) -> Tensor:
        wanted = f"(B, {self.channels}, {'any size' if self.size is None else f'{self.size[0]}, {self.size[1]}'})"
        fits = images.ndim == 4 and (images.shape[1] == self.channels or (self.greys and images.shape[1] == 1))
        if not fits or (self.size is not None and tuple(images.shape[2:]) != self.size):
            raise UsageError(f"extractor {self.name} takes images {wanted}, got {tuple(images.shape)}")
        if not images.is_floating_point():
            raise UsageError(f"extractor {self.name} takes floating point images in [-1, 1], got {images.dtype}")
        return images.float().expand(-1, self.channels, -1, -1)


class ConvNet(nn.Module):
    """A small classifier: per stage two 3x3 convolutions and a halving, down to 2x2; one hidden layer, whose output is the features.

    Stage i is width * min(2^i, 4) wide. Images (B, channels, size, size); `size` is a power of two of at least 4.
    """

    def __init__(self, channels: int, size: int, classes: int, width: int, dim: int) -> None:
        super().__init__()
        if size < 4 or size & (size - 1):
            raise UsageError(f"size must be a power of two of at least 4, got {size}")
        widths = [width * min(2**i, 4) for i in range(int(math.log2(size)) - 1)]
        stages = [_stage(a, b) for a, b in itertools.pairwise([channels, *widths])]
        self.body = nn.Sequential(*stages, nn.Flatten(), nn.Linear(4 * widths[-1], dim), nn.ReLU())
        self.head = nn.Linear(dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes)."""
        return self.head(self.body(images))


def _stage(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for entering in (channels, width):
        layers += [nn.Conv2d(entering, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


class ConvExtractor(Extractor):
    """The hidden layer of a `ConvNet`, and its classes."""

    def __init__(self, name: str, channels: int, size: int, classes: int, width: int, dim: int) -> None:
        super().__init__()
        self.name, self.dim, self.channels, self.size, self.classes = name, dim, channels, (size, size), classes
        self.net = ConvNet(channels, size, classes, width, dim)
        self.requires_grad_(False).eval()

    def _features(self, images: Tensor) -> Tensor:
        return self.net.body(images)

    def _logits(self, features: Tensor) -> Tensor:
        return self.net.head(features)


class RandomExtractor(Extractor):
    """Two strided convolutions with random weights and averages over a 2x2 grid: takes any size, means nothing elsewhere."""

    def __init__(self, channels: int, dim: int, seed: int) -> None:
        super().__init__()
        if dim < 4 or dim % 4:
            raise UsageError(f"dim must be a multiple of 4, got {dim}")
        self.name, self.dim, self.channels, self.size, self.comparable = "random", dim, channels, None, False
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = nn.Conv2d(channels, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, dim // 4, 3, 2, 1), nn.ReLU()
        self.net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.requires_grad_(False).eval()

    def _features(self, images: Tensor) -> Tensor:
        return self.net(images)


def tiny_random(channels: int = 3, dim: int = 64, seed: int = 0) -> RandomExtractor:
    """An extractor with random weights, for trying things out offline; results say that they are not comparable."""
    return RandomExtractor(channels, dim, seed)
