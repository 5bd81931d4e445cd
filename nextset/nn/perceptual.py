"""Perceptual distance: images compared by the features of a frozen network (LPIPS, Zhang et al. 2018, arXiv 1801.03924).

d(a, b) = sum over maps k of mean over sites of sum over channels of w_k (a_k - b_k)^2, with features of unit length at every site.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import NextsetError, UsageError

STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # convolutions of VGG16 before each pooling
WIDTHS = (64, 128, 256, 512, 512)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of images in [0, 1]
SMALLEST = 16
TINY = 1e-10


class VGG16Features(nn.Module):
    """The last map before each of VGG16's poolings (Simonyan and Zisserman 2014), five in all.

    Weights are constants: not parameters, and not in the state dict, since they come from a file of their own.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for layer in [layer for stage in STAGES for layer in stage]:
            for kind in ("weight", "bias"):
                self.register_buffer(f"{kind}{layer}", weights[f"features.{layer}.{kind}"].float(), persistent=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 1 or 3, H, W) in [-1, 1], at least 16 pixels a side, to five maps."""
        if min(images.shape[-2:]) < SMALLEST:
            raise UsageError(
                f"the perceptual loss needs images of at least {SMALLEST} pixels a side; switch it off (perceptual='')"
            )
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        x = ((images.to(mean.dtype).expand(-1, 3, -1, -1) + 1) / 2 - mean) / std
        maps: list[Tensor] = []
        for stage in STAGES:
            x = x if not maps else F.max_pool2d(x, 2)
            for layer in stage:
                x = F.relu(F.conv2d(x, self.get_buffer(f"weight{layer}"), self.get_buffer(f"bias{layer}"), padding=1))
            maps.append(x)
        return maps


class PerceptualDistance(nn.Module):
    """The distance by maps that `features` gives, with a weight per channel (None: their mean)."""

    def __init__(self, features: nn.Module, heads: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)
        self.heads = len(heads) if heads is not None else 0
        for k, head in enumerate(heads or ()):
            self.register_buffer(f"head{k}", head.float().view(-1, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> PerceptualDistance:
        """Stays in evaluation mode: what is compared must not change."""
        return super().train(False)

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """(B,) distances of images (B, C, H, W) in [-1, 1]; gradients go to both."""
        pairs = zip(self.features(images), self.features(others), strict=True)
        return torch.stack([self._distance(k, a, b) for k, (a, b) in enumerate(pairs)]).sum(0)

    def _distance(self, k: int, a: Tensor, b: Tensor) -> Tensor:
        squares = (_unit(a) - _unit(b)).square()
        weighed = (squares * self.get_buffer(f"head{k}")).sum(1) if self.heads else squares.mean(1)
        return weighed.flatten(1).mean(1)


def _unit(maps: Tensor) -> Tensor:
    # vector_norm has gradient 0 at 0, where the root of a sum of squares has none
    maps = maps.float()
    return maps / (torch.linalg.vector_norm(maps, dim=1, keepdim=True) + TINY)


def lpips(path: str | Path) -> PerceptualDistance:
    """LPIPS with weights from a local file, or from a folder of files that hold them together.

    Expected are VGG16's `features.<layer>.weight|bias` as torchvision names them and LPIPS's `lin<k>.model.1.weight`. Raises
    UsageError where the path or a tensor is missing, NextsetError for a file that cannot be read.
    """
    weights = _load(Path(path))
    wanted = [f"features.{layer}.{kind}" for stage in STAGES for layer in stage for kind in ("weight", "bias")]
    heads = [f"lin{k}.model.1.weight" for k in range(len(STAGES))]
    missing = [key for key in wanted + heads if key not in weights]
    if missing:
        raise UsageError(
            f"{path} lacks {len(missing)} tensors of LPIPS, such as {missing[0]}; give a folder with both"
            " torchvision's VGG16 and the official LPIPS heads"
        )
    return PerceptualDistance(VGG16Features(weights), [weights[key] for key in heads])


def _load(path: Path) -> dict[str, Tensor]:
    files = (
        sorted(p for p in path.iterdir() if p.suffix in (".safetensors", ".pth", ".pt")) if path.is_dir() else [path]
    )
    if not files or not files[0].is_file():
        raise UsageError(
            f"perceptual={str(path)!r} has no weights; give a .safetensors or .pth file, a folder of them, or ''"
        )
    return {key: value for file in files for key, value in _read(file).items()}


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)  # plain tensors only: nothing is executed
    except (SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise NextsetError(f"{file} is damaged or no file of plain tensors; download it again") from error
