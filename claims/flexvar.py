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
from nextset.layout import Tokens, pyramid
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


def claims(steps: int = 120) -> Iterator[Claim]:
    """A tokenizer of whole scales beside one of residuals; then a generator on drawn schedules."""
    test = next(once(open_dataset("digits", "test"), 360, SIZE, 1))
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            name: train_tokenizer(nextset.spec(f"{name}/digits").tokenizer, Path(folder) / name, steps * 5 // 4)
            for name in ("flexvar", "var")
        }
        whole, residual = (load_tokenizer(path)[1] for path in paths.values())
        recipe = Recipe(steps=steps, batch=32, lr=3e-3, warmup=20, ema=0.98)
        system = nextset.spec("flexvar/digits")
        setup = set_up_generator(system, "digits", recipe, tokenizer=str(paths["flexvar"]))
        setup.run(Path(folder) / "model", sample_every=0, eval_every=0)
        model = nextset.load(Path(folder) / "model")
    assert isinstance(whole, ScalableVQModule)
    assert isinstance(residual, MultiScaleVQModule)
    alone = {side: judged(scale_alone(whole, test.images, side), test.labels) for side in (4, 6, 8)}
    left = [judged(picture, test.labels) for picture in residuals_alone(residual, test.images)[1:]]
    yield Claim(
        "each scale alone decodes to a recognisable digit, and a residual scale does not",
        f"{' '.join(f'{share:.0%}' for share in alone.values())} recognised of sides 4, 6, 8 alone; "
        f"{' '.join(f'{share:.0%}' for share in left)} of the residual sides 2, 3, 4",
        "over 80% each, and under 60% each",
        min(alone.values()) > 0.8 and max(left) < 0.6,
    )
    shares = [drawn(model, sides) for sides in SCHEDULES]
    yield Claim(
        f"after {steps} steps on drawn schedules of five scales at most, one model draws in 4, 6 and 8 steps",
        f"{' '.join(f'{share:.1%}' for share in shares)} of {DRAWN} recognised as what was asked for",
        "over 40% each, and 8 steps no more than 5 points below 4",
        min(shares) > 0.4 and shares[-1] > shares[0] - 0.05,
    )


@torch.inference_mode()
def scale_alone(module: ScalableVQModule, images: Tensor, side: int) -> Tensor:
    """The picture of one scale, grown to the full size."""
    small = module.decode(module.encode_on(images, pyramid(side)))
    return F.interpolate(small, SIZE, mode="bilinear").clamp(-1, 1)


@torch.inference_mode()
def residuals_alone(module: MultiScaleVQModule, images: Tensor) -> list[Tensor]:
    """The picture of what each scale adds, without the others."""
    tokens: Tokens = module.encode(images)
    sums = module.quantise(module.latents(images), tokens.layout.blocks).sums
    added = [sums[0], *(b - a for a, b in zip(sums, sums[1:], strict=False))]
    return [module.paint(part).clamp(-1, 1) for part in added]


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
