"""LlamaGen's tokenizer (arXiv 2406.06525, section 2.2): a codebook of few, normalised dimensions, and what keeps it alive."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean

from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.objectives.adversarial import TokenizerLoss
from nextset.pretrained import load_tokenizer
from nextset.tokenizers.vq import VQ
from nextset.train import Recipe, Revival, set_up_tokenizer

from . import Claim

CODES, SIZE, JUDGED, SEEDS = 256, (32, 32), 512, (0, 1, 2)
NARROW = VQ(CODES, 8, width=16, multipliers=(1, 2, 2), blocks=1, latent=32, groups=8)
WIDE = replace(NARROW, dim=256, normalise=False)


def claims(steps: int = 600) -> Iterator[Claim]:
    """Revival keeps codes alive; then the paper's own point, without revival, at this size. Means over three seeds."""
    alive, narrow, wide = (
        [measured(spec, steps, revival, seed) for seed in SEEDS]
        for spec, revival in ((NARROW, Revival()), (NARROW, Revival(every=0)), (WIDE, Revival(every=0)))
    )
    yield Claim(
        "revival keeps the codes of a narrow, normalised codebook in use",
        f"{shares(alive)} of {CODES} codes on unseen pictures, without it {shares(narrow)}",
        "over 90%, and over twice as many",
        mean(alive) > 0.9 and mean(alive) > 2 * mean(narrow),
    )
    yield Claim(
        "without revival, 8 normalised dimensions keep more codes in use than 256 plain ones",
        f"{shares(narrow)} against {shares(wide)} of {CODES} codes",
        "over twice as many",
        mean(narrow) > 2 * mean(wide),
        "both lose nearly all codes within the first hundred steps; the paper trains far longer, on real pictures, 16384 codes",
    )


def shares(found: list[float]) -> str:
    """The shares of all seeds."""
    return " ".join(f"{share:.0%}" for share in found)


def measured(spec: VQ, steps: int, revival: Revival, seed: int) -> float:
    """The share of the codes that unseen shapes use after `steps` of training."""
    recipe = Recipe(steps=steps, batch=8, lr=3e-3, warmup=20, weight_decay=0.0, beta2=0.99, ema=0, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        setup = set_up_tokenizer(spec, SIZE, "shapes", recipe, loss=TokenizerLoss(), revival=revival)
        setup.run(Path(folder) / "run", sample_every=0, eval_every=0)
        module = load_tokenizer(Path(folder) / "run")[1]
    images = next(once(open_dataset("shapes", "test"), JUDGED, SIZE, 3)).images
    return len(module.encode(images).data.unique()) / CODES
