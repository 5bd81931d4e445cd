"""RQ-Transformer (arXiv 2203.01941): residual codes of one small codebook, and a transformer over their depth."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.heads import DepthTransformer, Head, Staged
from nextset.layout import Discrete, Tokens
from nextset.mixers import BiasedAttention
from nextset.objectives.adversarial import TokenizerLoss
from nextset.pretrained import load_tokenizer
from nextset.systems.rqvae import SMALL
from nextset.tokenizers.base import TokenizerModule
from nextset.tokenizers.rq import RQ
from nextset.train import Recipe, Revival, set_up_tokenizer

from . import Claim

SIZE, VOCAB = (8, 8), 16
DEEP = replace(SMALL, vocab=VOCAB, codes=4)
WIDE = replace(SMALL, vocab=VOCAB**2, codes=1)


def claims(steps: int = 300) -> Iterator[Claim]:
    """Two tokenizers learn digits by one recipe; then two heads learn a second code that follows from the first."""
    deep, wide = (errors(spec, steps) for spec in (DEEP, WIDE))
    yield Claim(
        "every further code of one model lowers the error of unseen digits",
        " > ".join(f"{error:.4f}" for error in deep),
        "falling",
        all(a > b for a, b in pairwise(deep)),
    )
    yield Claim(
        f"4 codes out of {VOCAB} vectors draw digits better than 1 code out of {VOCAB**2}",
        f"errors {deep[-1]:.4f} and {wide[-1]:.4f}, at 16 and 8 bits a site",
        f"lower, with {VOCAB} times fewer vectors",
        deep[-1] < wide[-1],
    )
    ordered, apart = (second_code(head) for head in (DepthTransformer(1, BiasedAttention(2), 0.0), Staged()))
    yield Claim(
        "a second code that follows from the first costs the depth transformer nothing, independent heads its entropy",
        f"{ordered:.4f} and {apart:.4f} nats",
        f"below 0.02, and within 0.02 of ln {VOCAB} = {math.log(VOCAB):.4f}",
        ordered < 0.02 and abs(apart - math.log(VOCAB)) < 0.02,
    )


def errors(spec: RQ, steps: int) -> list[float]:
    """Squared error of unseen digits after `steps` of training, from each prefix of the codes."""
    recipe = Recipe(steps=steps, batch=32, lr=3e-3, warmup=20, weight_decay=0.0, beta2=0.99, ema=0)
    with tempfile.TemporaryDirectory() as folder:
        setup = set_up_tokenizer(spec, SIZE, "digits", recipe, loss=TokenizerLoss(), revival=Revival(every=0))
        setup.run(Path(folder) / "run", sample_every=0, eval_every=0)
        module = load_tokenizer(Path(folder) / "run")[1]
    images = next(once(open_dataset("digits", "test"), 360, SIZE, 1)).images
    tokens = module.encode(images)
    return [prefix_error(module, images, tokens, codes) for codes in range(1, spec.codes + 1)]


def prefix_error(module: TokenizerModule, images: Tensor, tokens: Tokens, codes: int) -> float:
    """Of pictures from the first `codes` codes."""
    ids = tokens.data if tokens.data.ndim == 2 else tokens.data[..., :codes]
    with torch.no_grad():
        return (module.decode(Tokens(ids, tokens.layout)) - images).square().mean().item()


class Vectors:
    """A tokenizer's codes, any."""

    table = torch.randn(VOCAB, 8, generator=torch.Generator().manual_seed(0))

    def embed(self, ids: Tensor) -> Tensor:
        """By id."""
        return self.table[ids]

    def feedback(self, tokens: Tokens, scales: range) -> Tensor:
        """There are no scales."""
        raise NotImplementedError


def second_code(head: Head, steps: int = 200, dim: int = 32) -> float:
    """Nats of code 2, a permutation of code 1, after `steps` of training on a hidden vector that tells nothing."""
    torch.manual_seed(0)
    module = head.build(dim, Discrete(VOCAB, 2), Vectors())
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    partner = torch.randperm(VOCAB)

    def nats(first: Tensor) -> Tensor:
        tokens = torch.stack([first, partner[first]], -1)[None]
        return -module.log_probs(torch.ones(1, len(first), dim), tokens).mean((0, 1))  # type: ignore[operator]

    for _ in range(steps):
        optimizer.zero_grad()
        nats(torch.randint(VOCAB, (256,))).sum().backward()
        optimizer.step()
    with torch.no_grad():
        return nats(torch.arange(VOCAB))[1].item()
