"""Infinity (arXiv 2412.04431): later scales make good the wrong bits of earlier ones, and bits change less than ids do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import nextset
from nextset import Model, Pick
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.evaluate import trained
from nextset.layout import Tokens
from nextset.objectives import SelfCorrection
from nextset.tokenizers.bsq import MultiScaleBSQModule
from nextset.train import Recipe, set_up_generator

from . import Claim
from .var import train_tokenizer

DRAWN, GUIDANCE = 500, 1.5
EARLY = 2  # scales whose bits are spoilt
SPOILT = 0.2


def claims(steps: int = 200) -> Iterator[Claim]:
    """One tokenizer, and two generators by one recipe on digits, of which one has seen flipped bits."""
    system = nextset.spec("infinity/digits")
    with tempfile.TemporaryDirectory() as folder:
        codes = train_tokenizer(system.tokenizer, Path(folder) / "codes", 2 * steps)
        recipe = Recipe(steps=steps, lr=3e-3, warmup=20, ema=0.98)
        models = {}
        for name, strength in (("with", 0.3), ("without", 0.0)):
            part = replace(system, objective=SelfCorrection(strength))
            set_up_generator(part, "digits", recipe, tokenizer=str(codes)).run(
                Path(folder) / name, sample_every=0, eval_every=0
            )
            models[name] = nextset.load(Path(folder) / name)
    module = models["with"].tokenizer
    assert isinstance(module, MultiScaleBSQModule)
    images = next(once(open_dataset("digits", "test"), 360, system.size, 1)).images
    yield from of_codes(module, images)
    clean, spoilt = ({name: recognised(model, share) for name, model in models.items()} for share in (0.0, SPOILT))
    lost = {name: clean[name] - spoilt[name] for name in models}
    told = (
        f"{spoilt[name]:.1%} of {DRAWN} digits recognised of one trained {name} flips, {clean[name]:.1%} unspoilt"
        for name in models
    )
    yield Claim(
        f"with {SPOILT:.0%} of the bits of its first {EARLY} scales flipped, a model draws better that was trained with flips",
        ", ".join(told),
        "more recognised, and less than half as many lost",
        spoilt["with"] > spoilt["without"] and lost["with"] < 0.5 * lost["without"],
    )


@torch.inference_mode()
def of_codes(module: MultiScaleBSQModule, images: Tensor) -> Iterator[Claim]:
    """What flips and small changes do to the codes alone."""
    latents, layout = module.latents(images), module.spec.layout((images.shape[2], images.shape[3]))
    clean = module.quantise(latents, layout)
    bits = module.folded(clean.bits)
    flips = torch.rand(bits.shape, generator=torch.Generator().manual_seed(0)) < SPOILT
    flips[:, layout.ends[EARLY - 1] :] = False
    again = module.quantise(latents, layout, flips).sums[-1]
    stale = module.sums(Tokens((bits ^ flips).long(), layout))[-1]
    errors = [F.mse_loss(found, latents).item() for found in (clean.sums[-1], again, stale)]
    yield Claim(
        f"scales that quantise what flips of {SPOILT:.0%} in the first {EARLY} scales have left wrong make most of it good",
        f"{errors[1] - errors[0]:.4f} more error of latents, {errors[2] - errors[0]:.4f} where the bits stay as they were",
        "less than half as much",
        errors[1] - errors[0] < 0.5 * (errors[2] - errors[0]),
    )
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)) * 0.01 * latents.std()
    changed = bits != module.folded(module.quantise(latents + noise, layout).bits)
    single, whole = changed.double().mean().item(), changed.any(2).double().mean().item()
    yield Claim(
        "a change of latents by 1% changes few bits, but many tokens",
        f"{single:.2%} of the bits, {whole:.2%} of the tokens of {bits.shape[2]} bits",
        "less than a third of the share",
        single < whole / 3,
    )


class Spoiling:
    """Draws as `pick` does, then flips a share of the bits of the first scales."""

    temperature = 1.0

    def __init__(self, share: float) -> None:
        self.share, self.pick, self.step = share, Pick(), 0
        self.generator = torch.Generator().manual_seed(2)

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Bits (B, n, Q)."""
        bits = self.pick(logits, uniform)
        self.step += 1
        if self.step > EARLY:
            return bits
        return bits ^ (torch.rand(bits.shape, generator=self.generator) < self.share).long()


def recognised(model: Model, share: float) -> float:
    """The share of drawn digits that a classifier takes for what was asked for, with so many early bits flipped."""
    labels, judge = torch.arange(DRAWN) % 10, trained("digits")
    images = model.generate(labels, seed=1, guidance=GUIDANCE, pick=Spoiling(share))
    return (judge.logits(judge.features(images)).argmax(1) == labels).double().mean().item()
