"""DnD-Transformer (arXiv 2410.01912): codes along the depth of one model know each other, at one pass a site."""

from __future__ import annotations

import math
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
from nextset.heads.staged import StagedModule
from nextset.layout import Tokens
from nextset.objectives.adversarial import TokenizerLoss
from nextset.pretrained import load_tokenizer
from nextset.tokenizers.rq import RQ
from nextset.train import Recipe, Revival, set_up_generator, set_up_tokenizer
from nextset.wirings import Injected, Shift, Wiring

from . import Claim

SIZE, VOCAB = (8, 8), 5


def claims(steps: int = 300) -> Iterator[Claim]:
    """Codes that follow from each other; then digits, whose codes along the model's depth are added on the way or not; then a count."""
    knowing, apart = second_code(Injected()), second_code(Shift())
    yield Claim(
        "a second code that follows from the first costs nothing where the first is added on the way, else its entropy",
        f"{knowing:.4f} and {apart:.4f} nats",
        f"below 0.02, and within 0.02 of ln {VOCAB} = {math.log(VOCAB):.4f}",
        knowing < 0.02 and abs(apart - math.log(VOCAB)) < 0.02,
    )
    system = nextset.spec("dnd-transformer/digits")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = learned_tokenizer(system, Path(folder) / "tokenizer", steps)
        models = [learned(system, tokenizer, Path(folder) / f"{adds}", steps, adds) for adds in (True, False)]
    with_codes, without = map(nats, models)
    yield Claim(
        f"after {steps} steps, adding code 1 on the way lowers the cost of code 2 of unseen digits",
        f"{told(with_codes)} against {told(without)} nats a code",
        "over 0.1 nats lower at code 2",
        with_codes[1] < without[1] - 0.1,
        "after so few steps the model has learned little beyond how often a code comes at all, and the two codes of this small "
        "tokenizer share about 0.3 nats in all, part of which its neighbours tell as well",
    )
    passes, sites, codes = counted(models[0])
    yield Claim(
        "a picture takes one pass a site, whatever the codes of a site",
        f"{passes} passes for {sites} sites of {codes} codes",
        f"{sites}",
        passes == sites,
    )


def told(costs: list[float]) -> str:
    """The figures of all codes."""
    return " ".join(f"{cost:.3f}" for cost in costs)


def second_code(wiring: Wiring, steps: int = 150) -> float:
    """Nats of code 2, a permutation of code 1, after `steps` of training the tiny system on random codes."""
    torch.manual_seed(0)
    model = replace(nextset.spec("dnd-transformer/tiny"), wiring=wiring).build().train()
    tokenizer, layout, network = model.system.tokenizer, model.system.layout, model.network
    assert isinstance(tokenizer, RQ)
    assert tokenizer.vocab == VOCAB
    assert isinstance(network.head, StagedModule)
    partner, optimizer = torch.randperm(tokenizer.vocab), torch.optim.Adam(network.parameters(), 1e-2)
    for step in range(steps):
        first = torch.randint(tokenizer.vocab, (64, layout.sites))
        tokens = Tokens(torch.stack([first, partner[first]], -1), layout)
        optimizer.zero_grad()
        model.loss(tokens, torch.zeros(64, dtype=torch.int64), seed=step)["loss"].backward()
        optimizer.step()
    return costs(model.eval(), tokens.data, torch.zeros(64, dtype=torch.int64))[1]


def learned_tokenizer(system: System, folder: Path, steps: int) -> str:
    """The folder of the system's tokenizer after `steps` of training on digits."""
    recipe = Recipe(steps=steps, batch=32, lr=3e-3, warmup=20, weight_decay=0.0, beta2=0.99, ema=0)
    setup = set_up_tokenizer(system.tokenizer, SIZE, "digits", recipe, loss=TokenizerLoss(), revival=Revival(every=0))
    setup.run(folder, sample_every=0, eval_every=0)
    return str(folder)


def learned(system: System, tokenizer: str, folder: Path, steps: int, adds: bool) -> Model:
    """The system after `steps` of training on the tokens of digits; unless `adds`, codes are not added on the way."""
    torch.manual_seed(0)
    model = system.build()
    model.tokenizer.load_state_dict(load_tokenizer(tokenizer)[1].state_dict())
    if not adds:
        model.network.wiring.injection = lambda call, tokens, plan: None  # type: ignore[method-assign]
    recipe = Recipe(steps=steps, lr=3e-3, ema=0)
    set_up_generator(model, "digits", recipe).run(folder, sample_every=0, eval_every=0)
    return model.eval()


def nats(model: Model) -> list[float]:
    """What each code of unseen digits costs."""
    test = next(once(open_dataset("digits", "test"), 360, SIZE, 1))
    return costs(model.eval(), model.encode(test.images).data, test.labels)


@torch.no_grad()
def costs(model: Model, tokens: Tensor, labels: Tensor) -> list[float]:
    """What each code of tokens (B, N, Q) costs, in nats."""
    network = model.network
    assert isinstance(network.head, StagedModule)
    plan = network.plan(0, len(tokens), tokens.device)
    hidden = network.hidden(tokens, network.condition(labels), plan)
    return (-network.head.log_probs(hidden, plan.to_ranks(tokens)).mean((0, 1))).tolist()


def counted(model: Model) -> tuple[int, int, int]:
    """Passes through the backbone for one picture, its sites, and the codes of a site."""
    passes: list[int] = []
    handle = model.network.backbone.register_forward_hook(lambda *_: passes.append(1))
    model.generate(0, guidance=1.0)
    handle.remove()
    return len(passes), model.system.layout.sites, model.system.tokenizer.unit.codes  # type: ignore[union-attr]
