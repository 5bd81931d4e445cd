"""LlamaGen's tokenizer (arXiv 2406.06525, section 2.2): a codebook of few, normalised dimensions, and what keeps it alive."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.objectives.adversarial import TokenizerLoss
from nextset.pretrained import load_tokenizer
from nextset.tokenizers.vq import VQ
from nextset.train import Recipe, Revival, set_up_tokenizer

from . import Claim

CODES, SIZE, JUDGED = 256, (32, 32), 512
NARROW = VQ(CODES, 8, width=16, multipliers=(1, 2, 2), blocks=1, latent=32, groups=8)
WIDE = replace(NARROW, dim=256, normalise=False)


def claims(steps: int = 600) -> Iterator[Claim]:
    """Revival keeps codes alive; the paper's own point, shape against shape and without revival, at this size."""
    alive, narrow, wide = (
        measured(spec, steps, revival)
        for spec, revival in ((NARROW, Revival()), (NARROW, Revival(every=0)), (WIDE, Revival(every=0)))
    )
    yield Claim(
        "revival keeps the codes of a narrow, normalised codebook in use",
        f"{alive[0]:.0%} of {CODES} codes on unseen pictures against {narrow[0]:.0%} without it ({alive[1]:.1f} and {narrow[1]:.1f} dB)",
        "over 90%, and over twice as many",
        alive[0] > 0.9 and alive[0] > 2 * narrow[0],
    )
    yield Claim(
        "without revival, 8 normalised dimensions keep more codes in use than 256 plain ones",
        f"{narrow[0]:.0%} against {wide[0]:.0%} of {CODES} codes ({narrow[1]:.1f} and {wide[1]:.1f} dB)",
        "over twice as many",
        narrow[0] > 2 * wide[0],
        "both lose nearly all codes within the first hundred steps; the paper trains far longer, on real pictures, 16384 codes",
    )


@torch.no_grad()
def measured(spec: VQ, steps: int, revival: Revival) -> tuple[float, float]:
    """(share of the codes that unseen shapes use, PSNR in dB of their reconstructions) after `steps` of training."""
    recipe = Recipe(steps=steps, batch=8, lr=3e-3, warmup=20, weight_decay=0.0, beta2=0.99, ema=0)
    with tempfile.TemporaryDirectory() as folder, torch.enable_grad():
        setup = set_up_tokenizer(spec, SIZE, "shapes", recipe, loss=TokenizerLoss(), revival=revival)
        setup.run(Path(folder) / "run", sample_every=0, eval_every=0)
        module = load_tokenizer(Path(folder) / "run")[1]
    images = next(once(open_dataset("shapes", "test"), JUDGED, SIZE, 3)).images
    tokens = module.encode(images)
    error = (module.decode(tokens).clamp(-1, 1) - images).square().mean().item() / 4  # of images in [0, 1]
    return len(tokens.data.unique()) / CODES, -10 * math.log10(error)
