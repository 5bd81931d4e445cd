"""NPP (arXiv 2412.15321): half of the training on patches makes it cheaper, and what is learned there serves tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

import nextset
from nextset import System
from nextset.layout import Tokens

from . import Claim
from .par import learned, nats, small

# measured with 200 steps: 1.42 with patches, 1.35 with tokens of as many slots, 1.39 with the token stage alone
TOO_SMALL = (
    "on 8 x 8 digits patches hinder: a pixel hangs on its own neighbours, which the mean of a patch hides, and tokens are learned in "
    "200 steps; the paper gives each stage 150 epochs of ImageNet"
)


def claims(steps: int = 200) -> Iterator[Claim]:
    """The slots that training computes; then equally many slots with and without patches, and the token stage alone."""
    patches, plain = (small(nextset.spec(f"{name}/digits")) for name in ("next-patch", "llamagen"))
    share = slots(patches) / slots(plain)
    yield Claim(
        "training computes 0.6 of the slots", f"{share:.3f} of them", "(1/4 + 1) / 2 = 0.625", abs(share - 0.625) < 1e-9
    )
    longer = round(steps / share)
    # a constant rate, since the paper begins its schedule anew at every stage
    ours, theirs = (nats(learned(s, count, "constant")) for s, count in ((patches, longer), (plain, steps)))
    yield Claim(
        f"{longer} steps of patches, then tokens, describe digits as well as {steps} of tokens, which compute as many slots",
        f"{ours:.3f} and {theirs:.3f} nats a pixel of unseen digits",
        "no more than 0.005 more",
        ours <= theirs + 0.005,
        TOO_SMALL,
    )
    alone = nats(learned(plain, longer // 2, "constant"))
    yield Claim(
        f"what patches teach serves tokens: without them, {longer // 2} steps of tokens describe digits worse",
        f"{ours:.3f} and {alone:.3f} nats a pixel of unseen digits",
        "less by at least 0.01",
        ours < alone - 0.01,
        TOO_SMALL,
    )


def slots(system: System, moments: int = 10) -> int:
    """How many slots the backbone computes for a picture in `moments` steps spread over the training."""
    model, seen = system.build().eval(), 0

    def count(module: object, given: tuple[Any, ...], out: torch.Tensor) -> None:
        nonlocal seen
        seen += out.shape[1]

    model.network.backbone.register_forward_hook(count)
    tokens = Tokens(torch.zeros(1, system.layout.sites, dtype=torch.int64), system.layout)
    for moment in range(moments):
        model.loss(tokens, progress=moment / moments)
    return seen
