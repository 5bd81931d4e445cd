"""Perceptual distance: images compared by the features of a frozen network (LPIPS, Zhang et al. 2018, arXiv 1801.03924).

d(a, b) = sum over maps k of mean over sites of sum over channels of w_k (a_k - b_k)^2, with features of unit length at every site.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..digest import tensors_hash
from ..errors import NextsetError, UsageError

Layers = tuple[
    tuple[int, int, int, int, int], ...
]  # index in torchvision's `features`, channels, kernel, stride, padding


@dataclass(frozen=True)
class Trunk:
    """A network whose maps are compared: convolutions by stage, and the pooling between stages, by kernel (stride 2; 0: none)."""

    name: str
    stages: tuple[Layers, ...]
    pools: tuple[int, ...]  # before each stage
    smallest: int  # side of a picture that all stages can see

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each map."""
        return tuple(stage[-1][1] for stage in self.stages)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of its weights as torchvision has them, and those of LPIPS's heads."""
        found: dict[str, tuple[int, ...]] = {}
        entering = 3
        for index, channels, kernel, _, _ in (layer for stage in self.stages for layer in stage):
            found |= {
                f"features.{index}.weight": (channels, entering, kernel, kernel),
                f"features.{index}.bias": (channels,),
            }
            entering = channels
        return found | {f"lin{k}.model.1.weight": (1, width, 1, 1) for k, width in enumerate(self.widths)}


def _plain(indices: tuple[int, ...], channels: int) -> Layers:
    return tuple((index, channels, 3, 1, 1) for index in indices)


VGG16 = Trunk(  # Simonyan and Zisserman 2014, arXiv 1409.1556
    "vgg16",
    (
        _plain((0, 2), 64),
        _plain((5, 7), 128),
        _plain((10, 12, 14), 256),
        _plain((17, 19, 21), 512),
        _plain((24, 26, 28), 512),
    ),
    (0, 2, 2, 2, 2),
    16,
)
ALEXNET = Trunk(  # Krizhevsky 2014, arXiv 1404.5997
    "alexnet",
    (((0, 64, 11, 4, 2),), ((3, 192, 5, 1, 2),), *(_plain((i,), n) for i, n in ((6, 384), (8, 256), (10, 256)))),
    (0, 3, 3, 0, 0),
    31,
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of images in [0, 1]
TINY = 1e-10


class Features(nn.Module):
    """The maps of a trunk, five in all: the last before each of VGG16's poolings, every one of AlexNet's.

    Weights are constants: not parameters, and not in the state dict, since they come from a file of their own.
    """

    def __init__(self, trunk: Trunk, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.trunk = trunk
        for index, *_ in (layer for stage in trunk.stages for layer in stage):
            for kind in ("weight", "bias"):
                self.register_buffer(f"{kind}{index}", weights[f"features.{index}.{kind}"].float(), persistent=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 1 or 3, H, W) in [-1, 1], of at least `trunk.smallest` pixels a side, to five maps."""
        if min(images.shape[-2:]) < self.trunk.smallest:
            raise UsageError(
                f"the perceptual distance needs images of at least {self.trunk.smallest} pixels a side; switch it off (perceptual='')"
            )
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        x = ((images.to(mean.dtype).expand(-1, 3, -1, -1) + 1) / 2 - mean) / std
        maps: list[Tensor] = []
        for pool, stage in zip(self.trunk.pools, self.trunk.stages, strict=True):
            x = F.max_pool2d(x, pool, 2) if pool else x
            for index, _, _, stride, padding in stage:
                weight, bias = self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}")
                x = F.relu(F.conv2d(x, weight, bias, stride, padding))
            maps.append(x)
        return maps


class PerceptualDistance(nn.Module):
    """The distance by maps that `features` gives, with a weight per channel (None: their mean)."""

    def __init__(self, features: nn.Module, heads: Sequence[Tensor] | None = None, identity: str = "") -> None:
        super().__init__()
        self.identity = identity  # network and a hash of all weights, where it is the published distance
        self.features = features.eval().requires_grad_(False)
        self.heads = len(heads) if heads is not None else 0
        for k, head in enumerate(heads or ()):
            self.register_buffer(f"head{k}", head.float().view(-1, 1, 1), persistent=False)

    @property
    def smallest(self) -> int:
        """Side of the smallest picture that the features can see."""
        return self.features.trunk.smallest if isinstance(self.features, Features) else 1

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

    Expected are `features.<layer>.weight|bias` of torchvision's VGG16 or AlexNet, and the `lin<k>.model.1.weight` of the official
    LPIPS (version 0.1) for the same network. Raises UsageError where the path or a tensor is missing or has another shape,
    NextsetError for a file that cannot be read.
    """
    weights = _load(Path(path))
    first = weights.get("features.0.weight")
    trunk = ALEXNET if first is not None and first.shape[-1] == 11 else VGG16
    wanted = trunk.shapes()
    missing = [key for key in wanted if key not in weights]
    if missing:
        raise UsageError(
            f"{path} lacks {len(missing)} tensors of LPIPS, such as {missing[0]}; give a folder with both"
            f" torchvision's {trunk.name} and the official LPIPS heads for it"
        )
    for key, shape in wanted.items():
        if tuple(weights[key].shape) != shape:
            raise UsageError(
                f"{path}: {key} is {tuple(weights[key].shape)}, LPIPS on {trunk.name} has {shape}; network and heads belong together"
            )
    heads = [weights[f"lin{k}.model.1.weight"] for k in range(len(trunk.stages))]
    name = f"lpips-{trunk.name}:{tensors_hash({key: weights[key].float() for key in wanted})[:12]}"
    return PerceptualDistance(Features(trunk, weights), heads, name)


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
