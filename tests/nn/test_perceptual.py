"""LPIPS on AlexNet, against numbers of the official code; on VGG16 it is tested beside the loss that it serves.

Recorded: `lpips.LPIPS(net="alex")`, version 0.1, with torchvision's layers and the weights of `drawn`. With the published heads it
agreed as closely.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nextset.errors import UsageError
from nextset.nn.perceptual import ALEXNET, VGG16, lpips

RECORDED = [0.9707992076873779, 0.9847104549407959]


def drawn(generator: torch.Generator) -> dict[str, Tensor]:
    def draw(key: str, shape: tuple[int, ...]) -> Tensor:
        if key.startswith("lin"):
            return torch.rand(shape, generator=generator)
        return torch.randn(shape, generator=generator) * ((2 / math.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1)

    return {key: draw(key, shape) for key, shape in ALEXNET.shapes().items()}


def folder(path: Path, state: dict[str, Tensor]) -> Path:
    """As users have it: torchvision's file, and that of the heads."""
    torch.save({k: v for k, v in state.items() if k.startswith("features")}, path / "alexnet-owt-7be5be79.pth")
    torch.save({k: v for k, v in state.items() if k.startswith("lin")}, path / "alex.pth")
    return path


@torch.no_grad()
def test_alexnet_is_that_of_the_official_code(tmp_path: Path, generator: torch.Generator) -> None:
    distance = lpips(folder(tmp_path, drawn(generator)))
    images, others = (torch.rand(2, 3, 48, 40, generator=generator) * 2 - 1 for _ in range(2))
    assert distance(images, others).tolist() == pytest.approx(RECORDED, rel=1e-5)  # float32
    assert distance(images, images).tolist() == [0, 0]
    assert distance.identity.startswith("lpips-alexnet:")
    assert distance.smallest == 31
    assert distance(*torch.rand(2, 1, 3, 31, 31)).isfinite().all()
    with pytest.raises(UsageError, match="at least 31 pixels"):
        distance(torch.zeros(1, 3, 30, 40), torch.zeros(1, 3, 30, 40))


def test_shapes_are_the_published_ones() -> None:
    """Parameters of the convolutions, by torchvision: 2 469 696 in AlexNet, 14 714 688 in VGG16."""
    for trunk, count in ((ALEXNET, 2_469_696), (VGG16, 14_714_688)):
        shapes = trunk.shapes()
        assert sum(math.prod(shape) for key, shape in shapes.items() if key.startswith("features")) == count
        assert sum(key.startswith("lin") for key in shapes) == 5


def test_weights_that_do_not_belong_together_are_refused(tmp_path: Path, generator: torch.Generator) -> None:
    state = drawn(generator)
    widths = dict(zip((f"lin{k}.model.1.weight" for k in range(5)), VGG16.widths, strict=True))
    folder(tmp_path, state | {key: torch.zeros(1, width, 1, 1) for key, width in widths.items()})
    with pytest.raises(
        UsageError, match=r"lin1.model.1.weight is \(1, 128, 1, 1\), LPIPS on alexnet has \(1, 192, 1, 1\)"
    ):
        lpips(tmp_path)
    (tmp_path / "alex.pth").unlink()
    with pytest.raises(UsageError, match="lacks 5 tensors of LPIPS, such as lin0.*alexnet"):
        lpips(tmp_path)
