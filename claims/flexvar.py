"""FlexVAR (arXiv 2502.20313): each scale is a picture by itself, and one model draws on schedules that it never saw."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import nextset
from nextset import Model
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.decode import Clipped, Pick
from nextset.evaluate import trained
from nextset.layout import pyramid
from nextset.pretrained import load_tokenizer
from nextset.systems.flexvar import resized
from nextset.tokenizers.multiscale import MultiScaleVQModule
from nextset.tokenizers.scalable import ScalableVQModule
from nextset.train import Recipe, set_up_generator

from . import Claim
from .var import SIZE, train_tokenizer

DRAWN = 300
SCHEDULES = (
    (1, 2, 4, 8),
    (1, 2, 3, 4, 6, 8),
    (1, 2, 3, 4, 5, 6, 7, 8),
)  # trained on: at most five, side 1, three between, side 8


def claims(steps: int = 240) -> Iterator[Claim]:
    """A tokenizer of whole scales beside one of residuals; then a generator on drawn schedules."""
    test = next(once(open_dataset("digits", "test"), 360, SIZE, 1))
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            name: train_tokenizer(nextset.spec(f"{name}/digits").tokenizer, Path(folder) / name, steps * 5 // 8)
            for name in ("flexvar", "var")
        }
        whole, residual = (load_tokenizer(path)[1] for path in paths.values())
        recipe = Recipe(steps=steps, batch=32, lr=4e-3, warmup=20, ema=0.98)
        system = nextset.spec("flexvar/digits")
        setup = set_up_generator(system, "digits", recipe, tokenizer=str(paths["flexvar"]))
        setup.run(Path(folder) / "model", sample_every=0, eval_every=0)
        model = nextset.load(Path(folder) / "model")
    assert isinstance(whole, ScalableVQModule)
    assert isinstance(residual, MultiScaleVQModule)
    alone = [scale_error(whole, test.images, side) for side in (4, 6, 8)]
    parts, together = residual_errors(residual, test.images)
    yield Claim(
        "each scale alone decodes to the picture at its size, and a residual scale needs the others",
        f"{percent(alone)} of the variance of unseen digits wrong at sides 4, 6, 8 alone; {percent(parts)} at each residual side "
        f"alone, {together:.0%} of their sum",
        "under 10% each, over 20% each",
        max(alone) < 0.1 and min(parts) > 0.2,
    )
    shares = [drawn(model, sides) for sides in SCHEDULES]
    yield Claim(
        f"after {steps} steps on drawn schedules of five scales at most, one model draws in 4, 6 and 8 steps",
        f"{' '.join(f'{share:.1%}' for share in shares)} of {DRAWN} recognised as what was asked for",
        "over 60% each, and 8 steps no more than 5 points below 4",
        min(shares) > 0.6 and shares[-1] > shares[0] - 0.05,
    )


def percent(shares: list[float]) -> str:
    """Some shares in a row."""
    return " ".join(f"{share:.0%}" for share in shares)


@torch.inference_mode()
def scale_error(module: ScalableVQModule, images: Tensor, side: int) -> float:
    """How far the picture of one scale is from the pictures at that size, as a part of their variance."""
    small = F.interpolate(images, (side, side), mode="area")
    found = module.decode(module.encode_on(images, pyramid(side))).clamp(-1, 1)
    return (F.mse_loss(found, small) / small.var()).item()


@torch.inference_mode()
def residual_errors(module: MultiScaleVQModule, images: Tensor) -> tuple[list[float], float]:
    """The same of what each scale adds, decoded without the others, and of the sum."""
    sums = module.quantise(module.latents(images), module.spec.layout(SIZE).blocks).sums
    added = [sums[0], *(b - a for a, b in zip(sums, sums[1:], strict=False)), sums[-1]]
    errors = [(F.mse_loss(module.paint(part).clamp(-1, 1), images) / images.var()).item() for part in added]
    return errors[:-1], errors[-1]


def drawn(model: Model, sides: tuple[int, ...]) -> float:
    """The share of digits, drawn on other scales with the same weights, that are taken for what was asked for."""
    other = resized(model.system, *sides).build()
    other.load_state_dict(model.state_dict())
    labels = torch.arange(DRAWN) % 10
    return judged(other.generate(labels, seed=1, guidance=Clipped(3.0), pick=Pick()), labels)


def judged(images: Tensor, labels: Tensor) -> float:
    """The share that a classifier recognises."""
    judge = trained("digits")
    return (judge.logits(judge.features(images)).argmax(1) == labels).double().mean().item()
