"""Adversarial and perceptual terms: values, who gets gradients, when they start, and weights from files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from nextset.errors import NextsetError, UsageError
from nextset.nn.discriminator import PatchDiscriminator
from nextset.nn.perceptual import VGG16, PerceptualDistance, lpips
from nextset.objectives.adversarial import TokenizerLoss

GAN = TokenizerLoss(gan=True, gan_start=10, gan_layers=2, gan_width=8)


def pair(generator: torch.Generator, size: int = 16) -> tuple[Tensor, Tensor]:
    """Images and reconstructions (2, 3, size, size) in [-1, 1]; the latter ask for a gradient."""
    images, others = (torch.rand(2, 3, size, size, generator=generator) * 2 - 1 for _ in range(2))
    return images, others.requires_grad_()


def test_adversary_starts_at_its_step(generator: torch.Generator) -> None:
    module = GAN.build(3)
    images, reconstruction = pair(generator)
    assert not module.active(9)
    assert module.active(10)
    before = module.generator(images, reconstruction, 9)
    assert before.keys() == {"loss"}
    assert before["loss"] == 0
    idle = module.discriminator(images, reconstruction, 9)
    assert idle["loss"] == 0
    idle["loss"].backward()
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())


def test_generator_term(generator: torch.Generator) -> None:
    module = GAN.build(3)
    images, reconstruction = pair(generator)
    term = module.generator(images, reconstruction, 10)
    assert module.patches is not None
    torch.testing.assert_close(term["loss"], -0.5 * module.patches(reconstruction).mean())
    term["loss"].backward()
    assert reconstruction.grad is not None
    assert reconstruction.grad.any()
    assert all(p.grad is None for p in module.parameters())


def test_discriminator_term(generator: torch.Generator) -> None:
    module = GAN.build(3)
    images, reconstruction = pair(generator)
    term = module(images, reconstruction, 10)
    assert module.patches is not None
    real, fake = module.patches(images), module.patches(reconstruction)
    hinge = (1 - real).clamp_min(0).mean() / 2 + (1 + fake).clamp_min(0).mean() / 2
    torch.testing.assert_close(term["loss"], 0.5 * hinge)
    term["loss"].backward()
    assert reconstruction.grad is None
    # inside the margin, where a fresh adversary is, real and fake push the last bias in opposite ways
    assert all(
        p.grad is not None and (p.grad.any() or name == "patches.last.bias") for name, p in module.named_parameters()
    )


def test_adversary_learns_to_tell_apart(generator: torch.Generator) -> None:
    module = GAN.build(3)
    images = torch.rand(8, 3, 16, 16, generator=generator) * 2 - 1
    blurred = F.avg_pool2d(images, 3, 1, 1)
    optimiser = torch.optim.Adam(module.parameters(), 1e-3)
    for _ in range(30):
        figures = module.discriminator(images, blurred, 10)
        optimiser.zero_grad()
        figures["loss"].backward()
        optimiser.step()
    assert figures["real"] > 0.5
    assert figures["fake"] < -0.5


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_receptive_field(layers: int, field: int) -> None:
    net = PatchDiscriminator(1, 8, layers)
    size = 2 * field
    image = torch.zeros(1, 1, size, size, requires_grad=True)
    # group normalisation sees the whole image; without it, what is left is the reach of the convolutions
    net.norms = nn.ModuleList(nn.Identity() for _ in net.norms)
    logits = net(image)
    logits[0, logits.shape[1] // 2, logits.shape[2] // 2].backward()
    assert image.grad is not None
    touched = image.grad[0, 0].ne(0).any(0).nonzero()
    assert touched.max() - touched.min() + 1 == field


def test_judgement_does_not_depend_on_the_batch(generator: torch.Generator) -> None:
    net = PatchDiscriminator(3, 16, 2).train()
    images = torch.rand(3, 3, 16, 16, generator=generator)
    torch.testing.assert_close(net(images)[:1], net(images[:1]), atol=1e-5, rtol=1e-5)


# perceptual


def random_lpips(generator: torch.Generator) -> dict[str, Tensor]:
    """Tensors with the names and shapes of VGG16 and LPIPS, drawn at random."""
    state = {}
    for key, shape in VGG16.shapes().items():
        if key.startswith("lin"):
            state[key] = torch.rand(shape, generator=generator)
        else:  # He et al. 2015 keeps the size of the maps
            scale = (2 / math.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
            state[key] = torch.randn(shape, generator=generator) * scale
    return state


def reference_lpips(state: dict[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
    """The distance written out layer by layer in float64, with the constants of LPIPS itself."""
    shift = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64).view(-1, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64).view(-1, 1, 1)
    a, b = ((x.double() - shift) / scale for x in (a, b))
    total = torch.zeros(len(a), dtype=torch.float64)
    for layer in range(29):
        if f"features.{layer}.weight" in state:
            weight, bias = (state[f"features.{layer}.{kind}"].double() for kind in ("weight", "bias"))
            a, b = (F.relu(F.conv2d(x, weight, bias, padding=1)) for x in (a, b))
        elif layer in (4, 9, 16, 23):
            a, b = F.max_pool2d(a, 2), F.max_pool2d(b, 2)
        if layer in (2, 7, 14, 21, 28):
            k = (2, 7, 14, 21, 28).index(layer)
            square = (F.normalize(a, dim=1) - F.normalize(b, dim=1)) ** 2
            total += F.conv2d(square, state[f"lin{k}.model.1.weight"].double()).mean((1, 2, 3))
    return total


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return random_lpips(torch.Generator().manual_seed(1))


@pytest.fixture
def path(weights: dict[str, Tensor], tmp_path: Path) -> Path:
    """A folder as users have it: one file of VGG16, one of the heads."""
    save_file({k: v for k, v in weights.items() if k.startswith("features")}, tmp_path / "vgg16.safetensors")
    torch.save({k: v for k, v in weights.items() if k.startswith("lin")}, tmp_path / "lpips.pth")
    return tmp_path


@torch.no_grad()
def test_lpips_against_the_definition(path: Path, weights: dict[str, Tensor], generator: torch.Generator) -> None:
    images, others = pair(generator, 32)
    distance = lpips(path)
    # 1e-4 relative: float32 through 13 convolutions, and (x + 1) / 2 against the shift and scale of LPIPS
    torch.testing.assert_close(
        distance(images, others).double(), reference_lpips(weights, images, others), atol=0, rtol=1e-4
    )
    assert (distance(images, images) == 0).all()


def test_lpips_in_the_loss(path: Path, generator: torch.Generator) -> None:
    module = TokenizerLoss(gan=True, gan_layers=1, gan_width=8, perceptual=str(path), perceptual_weight=2.0).build(1)
    images, others = (x[:, :1].detach() for x in pair(generator, 16))
    term = module.generator(images, others.requires_grad_(), 0)
    torch.testing.assert_close(term["loss"], 2 * term["perceptual"])
    term["loss"].backward()
    assert others.grad is not None
    assert others.grad.isfinite().all()
    assert others.grad.any()
    assert all(name.startswith("patches.") for name, _ in module.named_parameters())
    assert all(name.startswith("patches.") for name in module.state_dict())


def test_dead_features_have_finite_gradients() -> None:
    dead = nn.Conv2d(3, 4, 1, bias=False)
    nn.init.zeros_(dead.weight)
    distance = PerceptualDistance(Maps(dead))
    image = torch.zeros(1, 3, 4, 4, requires_grad=True)
    distance(torch.ones(1, 3, 4, 4), image).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


class Maps(nn.Module):
    """The one map that a module gives."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.net(images)]


def test_features_of_a_classifier(generator: torch.Generator) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    module = TokenizerLoss().build(3, features=Maps(net)).train()
    images, others = pair(generator)
    assert not net.training
    term = module.generator(images, others, 0)
    a, b = (F.normalize(net(x), dim=1) for x in (images, others))
    torch.testing.assert_close(term["loss"], (a - b).square().mean())
    term["loss"].backward()
    assert others.grad is not None
    assert all(p.grad is None for p in net.parameters())


def test_bad_weights(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        TokenizerLoss(perceptual=str(tmp_path / "nowhere")).build(3)
    with pytest.raises(UsageError, match="lin0"):
        TokenizerLoss(perceptual=str(path / "vgg16.safetensors")).build(3)
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not weights")
    with pytest.raises(NextsetError, match=r"broken\.pth"):
        lpips(broken)


def test_bad_use(path: Path) -> None:
    with pytest.raises(UsageError, match="negative"):
        TokenizerLoss(gan_start=-1)
    with pytest.raises(UsageError, match="gan=True"):
        TokenizerLoss().build(3).discriminator(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), 0)
    with pytest.raises(UsageError, match="gan_layers"):
        PatchDiscriminator(3, 8, 3)(torch.zeros(1, 3, 16, 16))
    with pytest.raises(UsageError, match="16 pixels"):
        lpips(path)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    with pytest.raises(UsageError, match="not both"):
        TokenizerLoss(perceptual="x").build(3, features=nn.Identity())
