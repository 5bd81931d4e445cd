"""DnD-Transformer (arXiv 2410.01912): codes along the depth of one model know each other, at one pass a site."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import nextset
from nextset import Model, System
from nextset.backbones import Readouts
from nextset.data.loader import once
from nextset.data.open import open_dataset
from nextset.heads.staged import StagedModule
from nextset.objectives.adversarial import TokenizerLoss
from nextset.tokenizers.rq import RQ
from nextset.train import Recipe, Revival, set_up_generator, set_up_tokenizer
from nextset.wirings import Shift

from . import Claim

SIZE = (8, 8)


def claims(steps: int = 250) -> Iterator[Claim]:
    """A tokenizer of digits; then the system learns its tokens, with codes added on the way and without; then a picture is counted."""
    system = nextset.spec("dnd-transformer/digits")
    assert isinstance(system.tokenizer, RQ)
    assert isinstance(system.backbone, Readouts)
    of_two = replace(system.tokenizer, codes=2)
    system = replace(system, tokenizer=of_two, backbone=replace(system.backbone, reads=(1, 3)))
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = learned_tokenizer(system, Path(folder) / "tokenizer", steps)
        models = [learned(replace(system, wiring=w), tokenizer, Path(folder), steps) for w in (system.wiring, Shift())]
    (first, second), (first_alone, second_alone) = map(nats, models)
    yield Claim(
        f"after {steps} steps, adding code 1 to the stream lowers the cost of code 2 of unseen digits",
        f"{second:.3f} against {second_alone:.3f} nats (code 1: {first:.3f} and {first_alone:.3f})",
        "over 0.1 nats lower",
        second < second_alone - 0.1,
    )
    passes, sites, codes = counted(models[0])
    yield Claim(
        "a picture takes one pass a site, whatever the codes of a site",
        f"{passes} passes for {sites} sites of {codes} codes",
        f"{sites}",
        passes == sites,
    )


def learned_tokenizer(system: System, folder: Path, steps: int) -> str:
    """The folder of the system's tokenizer after `steps` of training on digits."""
    recipe = Recipe(steps=steps, batch=32, lr=3e-3, warmup=20, weight_decay=0.0, beta2=0.99, ema=0)
    setup = set_up_tokenizer(system.tokenizer, SIZE, "digits", recipe, loss=TokenizerLoss(), revival=Revival(every=0))
    setup.run(folder, sample_every=0, eval_every=0)
    return str(folder)


def learned(system: System, tokenizer: str, folder: Path, steps: int) -> Model:
    """The system after `steps` of training on the tokens of digits."""
    out = folder / type(system.wiring).__name__
    recipe = Recipe(steps=steps, lr=3e-3, ema=0.99)
    set_up_generator(system, "digits", recipe, tokenizer=tokenizer).run(out, sample_every=0, eval_every=0)
    return nextset.load(out)


@torch.no_grad()
def nats(model: Model) -> list[float]:
    """What each code of unseen digits costs."""
    test = next(once(open_dataset("digits", "test"), 360, SIZE, 1))
    tokens, network = model.encode(test.images).data, model.eval().network
    assert isinstance(network.head, StagedModule)
    plan = network.plan(0, len(tokens), tokens.device)
    hidden = network.hidden(tokens, network.condition(test.labels), plan)
    return (-network.head.log_probs(hidden, plan.to_ranks(tokens)).mean((0, 1))).tolist()


def counted(model: Model) -> tuple[int, int, int]:
    """Passes through the backbone for one picture, its sites, and the codes of a site."""
    passes: list[int] = []
    handle = model.network.backbone.register_forward_hook(lambda *_: passes.append(1))
    model.generate(0, guidance=1.0)
    handle.remove()
    return len(passes), model.system.layout.sites, model.system.tokenizer.unit.codes  # type: ignore[union-attr]
