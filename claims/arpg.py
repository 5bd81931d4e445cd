"""ARPG (arXiv 2503.10568): what is asked does not depend on what else is asked, the cache is small, and few steps draw as well."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import nextset
from nextset import Model, System
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.evaluate import trained
from nextset.evaluate.frechet import Moments, frechet
from nextset.nn.masking import Cosine
from nextset.orders import Falling, Plan, Random
from nextset.train import Recipe, set_up_generator

from . import Claim

DRAWN, KNOWN = 500, 16


def claims(steps: int = 600) -> Iterator[Claim]:
    """Two exact claims about the mechanism, then one about digits."""
    own, other = (dependence(f"{name}/digits") for name in ("arpg", "randar"))
    yield Claim(
        "what a query finds does not depend on who else asks in its step, unlike RandAR's instructions",
        f"asked with 47 others instead of alone, hidden vectors of unit size change by {own:.0e}, RandAR's by {other:.0e}",
        "at most 1e-5, and more than 1e-2",
        own <= 1e-5 and other > 1e-2,
    )
    depth = 24
    ours, theirs = (cached(nextset.spec(f"{name}/l")) for name in ("arpg", "llamagen"))
    yield Claim(
        "readers share one pair of keys and values: in size l the cache is (24 / 2 + 1) / 24 of a plain transformer's",
        f"{ours:,} and {theirs:,} numbers an image",
        "exactly 13 / 24",
        ours * depth == theirs * (depth // 2 + 1),
    )
    model = learned("arpg/digits", steps)
    orders = Random(), Random(16, Falling(Cosine())), Random(1, Falling(Cosine()))
    (many, known), (few, same), (once_all, _) = (judged(model, order) for order in orders)
    yield Claim(
        "16 steps in place of 64 draw as well, from the same weights; all pixels at once do not",
        f"Frechet distances of {DRAWN} from digits {few:.1f}, {many:.1f} and {once_all:.1f}; {same:.1%} and {known:.1%} recognised",
        "16 steps at most a tenth farther than 64, one step at least half as far again",
        few <= 1.1 * many and once_all >= 1.5 * many,
    )


def cached(system: System) -> int:
    """Numbers that the cache of one image holds where every site is a step."""
    with torch.device("meta"):
        network = system.network()
    sizes, backbone = (1,) * system.layout.sites, network.backbone
    room = network.script(sizes, torch.device("meta")).room(backbone.passing)
    states = backbone.cache(1, room, torch.empty(0, device="meta")).states
    return sum(v.numel() for state in states for v in vars(state).values() if isinstance(v, Tensor))


@torch.inference_mode()
def dependence(name: str) -> float:
    """How much the hidden vector of one site changes when its step asks for all other unknown sites too."""
    torch.manual_seed(0)
    network = nextset.spec(name).build().eval().network
    sites = network.layout.sites
    perm, tokens = torch.randperm(sites), torch.randint(17, (4, sites))
    known, site, rest = perm[:KNOWN], perm[-1:], perm[KNOWN:-1]
    alone = Plan(torch.cat([known, site, rest]), (*[1] * KNOWN, 1, len(rest)))
    together = Plan(perm, (*[1] * KNOWN, len(rest) + 1))
    conditioning = network.condition(torch.arange(4))
    found = network.hidden(tokens, conditioning, alone)[:, KNOWN], network.hidden(tokens, conditioning, together)[:, -1]
    return (found[0] - found[1]).abs().max().item()


def learned(name: str, steps: int) -> Model:
    """The system after `steps` of training on digits."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(steps=steps, lr=3e-3, ema=0.99)
        set_up_generator(nextset.spec(name), "digits", recipe).run(Path(folder) / "run", sample_every=0, eval_every=0)
        return nextset.load(Path(folder) / "run")


def judged(model: Model, order: Random) -> tuple[float, float]:
    """Frechet distance of drawn digits from those of training, and the share that is recognised as what was asked for."""
    model.system = replace(model.system, order=order)
    labels, judge = torch.arange(DRAWN) % 10, trained("digits")
    real = judge.features(next(once(open_dataset("digits", "train"), 1400, (8, 8), 1)).images)
    drawn = judge.features(model.generate(labels, seed=1))
    moments = Moments(real.shape[1]), Moments(real.shape[1])
    for part, features in zip(moments, (real, drawn), strict=True):
        part.add(features)
    return frechet(*moments), (judge.logits(drawn).argmax(1) == labels).double().mean().item()
