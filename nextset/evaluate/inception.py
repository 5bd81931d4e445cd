"""The Inception network of FID: the graph of 5 December 2015 that every published FID, sFID and Inception Score looks through.

It is Inception-V3 (Szegedy et al. 2015, arXiv 1512.00567) but for four things that figures depend on: pictures are resized as
TensorFlow 1 did, averages do not count padding, the pooling of the last block takes the maximum, and there are 1008 classes.
Weights are the user's: `pt_inception-2015-12-05-6726825d.pth` (pytorch-fid), `weights-inception-2015-12-05-6726825d.pth`
(torch-fidelity; the same file), or `classify_image_graph_def.pb`, from which both were made and which ADM's evaluator reads.
Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blueprint import blueprints
from ..checkpoints import read_checkpoint
from ..errors import UsageError
from ..folders import load_exactly
from . import graphdef
from .features import Extractor
from .places import find, sha256

NAME = "inception-2015-12-05"
FILES = (
    "pt_inception-2015-12-05-6726825d.pth",
    "weights-inception-2015-12-05-6726825d.pth",
    "classify_image_graph_def.pb",
)
VARIABLE = "NEXTSET_INCEPTION"
DIGEST = "6726825d"  # how the SHA-256 of the published .pth begins
SIDE, CLASSES, EPSILON = 299, 1008, 1e-3
SPATIAL, PLACES = 7, 17 * 17  # channels and sites that sFID looks at

Kernel = int | tuple[int, int]
Conv = tuple[int, Kernel]  # output channels, kernel
Chain = tuple[Conv | list[Conv], ...]  # one after another; a list at the end: side by side

WIDE, TALL = (1, 7), (7, 1)
STEM: dict[str, tuple[int, int, int, int, int]] = {  # entering, leaving, kernel, stride, padding
    "Conv2d_1a_3x3": (3, 32, 3, 2, 0),
    "Conv2d_2a_3x3": (32, 32, 3, 1, 0),
    "Conv2d_2b_3x3": (32, 64, 3, 1, 1),
    "Conv2d_3b_1x1": (64, 80, 1, 1, 0),
    "Conv2d_4a_3x3": (80, 192, 3, 1, 0),
}


def _small(pooled: int) -> dict[str, Chain]:
    """Blocks on 35x35 sites."""
    return {
        "branch1x1": ((64, 1),),
        "branch5x5": ((48, 1), (64, 5)),
        "branch3x3dbl": ((64, 1), (96, 3), (96, 3)),
        "branch_pool": ((pooled, 1),),
    }


def _middle(c: int) -> dict[str, Chain]:
    """Blocks on 17x17 sites."""
    return {
        "branch1x1": ((192, 1),),
        "branch7x7": ((c, 1), (c, WIDE), (192, TALL)),
        "branch7x7dbl": ((c, 1), (c, TALL), (c, WIDE), (c, TALL), (192, WIDE)),
        "branch_pool": ((192, 1),),
    }


FORK: list[Conv] = [(384, (1, 3)), (384, (3, 1))]
LARGE: dict[str, Chain] = {  # blocks on 8x8 sites
    "branch1x1": ((320, 1),),
    "branch3x3": ((384, 1), FORK),
    "branch3x3dbl": ((448, 1), (384, 3), FORK),
    "branch_pool": ((192, 1),),
}
BLOCKS: dict[str, tuple[int, dict[str, Chain]]] = {  # entering channels; without branch_pool a block halves its sides
    "Mixed_5b": (192, _small(32)),
    "Mixed_5c": (256, _small(64)),
    "Mixed_5d": (288, _small(64)),
    "Mixed_6a": (288, {"branch3x3": ((384, 3),), "branch3x3dbl": ((64, 1), (96, 3), (96, 3))}),
    "Mixed_6b": (768, _middle(128)),
    "Mixed_6c": (768, _middle(160)),
    "Mixed_6d": (768, _middle(160)),
    "Mixed_6e": (768, _middle(192)),
    "Mixed_7a": (
        768,
        {"branch3x3": ((192, 1), (320, 3)), "branch7x7x3": ((192, 1), (192, WIDE), (192, TALL), (192, 3))},
    ),
    "Mixed_7b": (1280, LARGE),
    "Mixed_7c": (2048, LARGE),
}


class BasicConv(nn.Module):
    """Convolution without bias, normalisation by stored moments, ReLU."""

    def __init__(self, entering: int, leaving: int, kernel: Kernel, stride: int, padding: Kernel) -> None:
        super().__init__()
        self.conv = nn.Conv2d(entering, leaving, kernel, stride, padding, bias=False)
        self.bn = StoredNorm(leaving)

    def forward(self, x: Tensor) -> Tensor:
        """(B, entering, H, W) to (B, leaving, H', W')."""
        return F.relu(self.bn(self.conv(x)))


class StoredNorm(nn.Module):
    """Batch normalisation with moments that never change, under the usual names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(
                name, torch.ones(channels) if name in ("weight", "running_var") else torch.zeros(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        get = self.get_buffer
        return F.batch_norm(
            x, get("running_mean"), get("running_var"), get("weight"), get("bias"), training=False, eps=EPSILON
        )


def convolutions(chains: dict[str, Chain]) -> Iterator[tuple[str, str, int, Conv]]:
    """(name, chain, place in it, convolution) of a block; what is side by side has one place."""
    for branch, chain in chains.items():
        for place, step in enumerate(chain):
            ending = f"_{place + 1}" if len(chain) > 1 else ""
            if isinstance(step, list):
                for letter, conv in zip("ab", step, strict=True):
                    yield f"{branch}{ending}{letter}", branch, place, conv
            else:
                yield f"{branch}{ending}", branch, place, step


class Mixed(nn.Module):
    """Chains of convolutions on one input, side by side; the last of them on a pooled input."""

    def __init__(self, entering: int, chains: dict[str, Chain], largest: bool) -> None:
        super().__init__()
        self.halves, self.largest = "branch_pool" not in chains, largest
        self.chains: dict[str, list[list[str]]] = {branch: [[] for _ in chain] for branch, chain in chains.items()}
        widths: dict[tuple[str, int], int] = {(branch, -1): entering for branch in chains}
        for name, branch, place, (leaving, kernel) in convolutions(chains):
            last = self.halves and place == len(chains[branch]) - 1
            padding = tuple((k - 1) // 2 for k in (kernel if isinstance(kernel, tuple) else (kernel, kernel)))
            width = widths[branch, place - 1]
            self.add_module(name, BasicConv(width, leaving, kernel, 2 if last else 1, 0 if last else padding))  # type: ignore[arg-type]
            widths[branch, place] = leaving
            self.chains[branch][place].append(name)

    def pieces(self, x: Tensor) -> list[Tensor]:
        """What each chain makes of (B, entering, H, W), and the pooled input where the block halves."""
        found: list[Tensor] = []
        for branch, steps in self.chains.items():
            y = self._pooled(x) if branch == "branch_pool" else x
            for names in steps:
                y = torch.cat([self.get_submodule(name)(y) for name in names], 1)
            found.append(y)
        return [*found, F.max_pool2d(x, 3, 2)] if self.halves else found

    def _pooled(self, x: Tensor) -> Tensor:
        if self.largest:
            return F.max_pool2d(x, 3, 1, 1)
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """All pieces, channel on channel."""
        return torch.cat(self.pieces(x), 1)


class Inception(nn.Module):
    """Pictures (B, 3, H, W) of values 0..255, any size, to pooled features, features that keep their place, and logits."""

    def __init__(self) -> None:
        super().__init__()
        for name, (entering, leaving, kernel, stride, padding) in STEM.items():
            self.add_module(name, BasicConv(entering, leaving, kernel, stride, padding))
        for name, (entering, chains) in BLOCKS.items():
            self.add_module(name, Mixed(entering, chains, largest=name == "Mixed_7c"))
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2048), the graph's pool_3, and (B, 2023), the first 7 channels of its mixed_6/conv by row, column, channel."""
        x, spatial = (resize(pixels, SIDE) - 128) / 128, None
        for name in STEM:
            x = self.get_submodule(name)(x)
            x = F.max_pool2d(x, 3, 2) if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3") else x
        for name in BLOCKS:
            block = self.get_submodule(name)
            assert isinstance(block, Mixed)
            pieces = block.pieces(x)
            if name == "Mixed_6d":
                spatial = pieces[0][:, :SPATIAL].movedim(1, -1).flatten(1)
            x = torch.cat(pieces, 1)
        assert spatial is not None, "Mixed_6d is one of them"
        return x.mean((2, 3)), spatial


def resize(images: Tensor, side: int) -> Tensor:
    """(B, C, H, W) to (B, C, side, side) as TensorFlow 1's `resize_bilinear` does: output i lies at i * size / side, no antialias."""
    for dim in (-1, -2):
        size = images.shape[dim]
        at = torch.arange(side, dtype=torch.float32, device=images.device) * torch.tensor(size / side)
        low = at.long()
        part = at - low if dim == -1 else (at - low)[:, None]
        left, right = images.index_select(dim, low), images.index_select(dim, (low + 1).clamp_max(size - 1))
        images = left + (right - left) * part
    return images


class InceptionExtractor(Extractor):
    """Inception as an extractor: pictures are rounded to 8 bits first; logits are without the bias, as Inception Scores take them."""

    name, dim, channels, size, greys = NAME, 2048, 3, None, True
    classes, aligned, spatial = CLASSES, False, SPATIAL * PLACES

    def __init__(self, net: Inception, name: str = NAME) -> None:
        super().__init__()
        self.net, self.name = net, name
        self.requires_grad_(False).eval()

    def _features(self, images: Tensor) -> Tensor:
        return self._both(images)[0]

    def _both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(((images + 1) * 127.5).round().clamp(0, 255))

    def _logits(self, features: Tensor) -> Tensor:
        return features @ self.net.fc.weight.T


def inception(path: str | Path | None = None) -> InceptionExtractor:
    """The extractor of FID, with weights from `path`, else from `$NEXTSET_INCEPTION`, the cache folder, torch's cache, or here.

    Raises UsageError where there is no such file or it holds another network, NextsetError where it is damaged. A file that is
    not one of the published ones costs a warning: its figures compare among themselves alone.
    """
    file = find(FILES, VARIABLE, path, "weights of FID's Inception")
    if file.suffix == ".pb":
        state = _from_graph(file)
    else:
        state = {k: v for k, v in read_checkpoint(file).items() if not k.endswith("num_batches_tracked")}
        if not sha256(file).startswith(DIGEST):
            warnings.warn(
                f"{file} is not the published file of FID's weights (its SHA-256 does not begin with {DIGEST}); figures compare "
                "with others of this file alone"
            )
    with blueprints():
        net = Inception()
    try:
        load_exactly(net, {key: value.float() for key, value in state.items()}, str(file))
    except UsageError as error:
        raise UsageError(f"{error}; give {FILES[0]} of pytorch-fid, torch-fidelity's, or {FILES[2]}") from error
    return InceptionExtractor(net)


# -- the graph's own names


def _from_graph(path: Path) -> dict[str, Tensor]:
    """The weights of FID's Inception under the names of its torch ports, from `classify_image_graph_def.pb`.

    Raises UsageError naming a constant that the graph lacks.
    """
    held = graphdef.constants(path)
    state: dict[str, Tensor] = {}
    for here, there in _names():
        entries = {"conv.weight": f"{there}/conv2d_params", "bn.weight": f"{there}/batchnorm/gamma"}
        entries |= {"bn.bias": f"{there}/batchnorm/beta", "bn.running_mean": f"{there}/batchnorm/moving_mean"}
        entries |= {"bn.running_var": f"{there}/batchnorm/moving_variance"}
        state |= {f"{here}.{key}": _held(held, name, path) for key, name in entries.items()}
        state[f"{here}.conv.weight"] = state[f"{here}.conv.weight"].permute(3, 2, 0, 1).contiguous()
    state["fc.weight"] = _held(held, "softmax/weights", path).T.contiguous()
    state["fc.bias"] = _held(held, "softmax/biases", path)
    return state


def _held(held: dict[str, Tensor], name: str, path: Path) -> Tensor:
    if name not in held:
        raise UsageError(f"{path} has no constant {name}: it is another graph than classify_image_graph_def.pb")
    return held[name]


def _names() -> Iterator[tuple[str, str]]:
    """(our name, the graph's) of every convolution: the graph counts blocks, towers within a block, convolutions within a tower."""
    yield from ((here, f"conv{_counted(i)}") for i, here in enumerate(STEM))
    for i, (block, (_, chains)) in enumerate(BLOCKS.items()):
        alone = (
            next(iter(chains)) if len(next(iter(chains.values()))) == 1 else None
        )  # a first chain of one is no tower
        towers = [branch for branch in chains if branch != alone]
        sides: dict[tuple[str, int], int] = {}
        for name, branch, place, _ in convolutions(chains):
            seen = sides[branch, place] = sides.get((branch, place), -1) + 1
            if isinstance(chains[branch][place], list):
                last = f"mixed/conv{_counted(seen)}"
            else:
                last = f"conv{_counted(place)}"
            tower = "" if branch == alone else f"tower{_counted(towers.index(branch))}/"
            yield f"{block}.{name}", f"mixed{_counted(i)}/{tower}{last}"


def _counted(i: int) -> str:
    return f"_{i}" if i else ""
