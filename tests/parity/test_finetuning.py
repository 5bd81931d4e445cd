"""Fine-tuning of official weights: step 0 is the loaded model, in its loss and in what it draws, and training moves on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, Tokens, load, load_official
from nextset.conditions import Attended, Label, Text, Words
from nextset.data.batch import Batch
from nextset.layout import Discrete
from nextset.train import Options, Recipe, Trainer
from nextset.train.generator import Generator
from nextset.train.journal import read_log

from . import (
    test_aim,
    test_flexvar,
    test_infinity,
    test_mar,
    test_maskgit,
    test_rar,
    test_rqtransformer,
    test_var,
    test_xar,
)
from .recordings import Recordings, opened

PLAIN = ("llamagen_c2i", "randar", "par", "nar", "arpg")  # one file, and the arguments as they are


def plain(name: str) -> Callable[[], Any]:
    recorded = Recordings(name)
    return lambda: opened(recorded, recorded.read("config.json")["model_args"])


def masked(name: str) -> Callable[[], Any]:
    recorded = Recordings(name)
    file = recorded.folder / "weights.safetensors"
    return lambda: load_official(name, file, test_maskgit.said(recorded.read("config.json")))


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = Recordings(name).read("config.json")
    return found


OPENED: dict[str, Callable[[], Any]] = {
    **{name: plain(name) for name in PLAIN},
    "rar": lambda: load_official("rar", test_rar.FILE, test_rar.said(read("rar"))),
    "aim": lambda: test_aim.loaded(test_aim.said(read("aim"))),
    **{name: masked(name) for name in ("imagebert", "uvitbert")},
    "var": lambda: load_official("var", test_var.files("weights_var"), test_var.said(read("var"), "weights_var")),
    "flexvar": lambda: load_official("flexvar", test_flexvar.FILES, test_flexvar.said(read("flexvar"))),
    "mar": lambda: load_official("mar", test_mar.WEIGHTS, test_mar.official()),
    "xar": lambda: load_official("xar", test_xar.FILE, test_xar.official()),
    "rqtransformer": lambda: load_official(
        "rqvae", test_rqtransformer.files("gen"), test_rqtransformer.config_of("gen")
    ),
}


@pytest.fixture(params=OPENED)
def twice(request: pytest.FixtureRequest) -> tuple[Model, Model]:
    """The official weights, loaded two times."""
    Recordings(request.param).require()
    one, other = OPENED[request.param](), OPENED[request.param]()
    assert isinstance(one, Model)
    assert isinstance(other, Model)
    return one, other


class Same:
    """The same batch again and again, which also is the whole held-out data."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.schedule = type("Schedule", (), {"rounds": 1})

    def batches(self, start: int = 0) -> Iterator[Batch]:
        while True:
            yield self.batch

    def once(self) -> Iterator[Batch]:
        yield self.batch


def batch_of(model: Model, size: int = 3) -> Batch:
    """Random tokens of the model's alphabet, and a class for each."""
    torch.manual_seed(0)
    unit, sites = model.system.tokenizer.unit, model.system.layout.sites
    tokens: Tensor = torch.randn(size, sites, getattr(unit, "dim", 1))
    if isinstance(unit, Discrete):
        tokens = torch.randint(unit.vocab, (size, sites) if unit.codes == 1 else (size, sites, unit.codes))
    condition = model.system.condition
    assert isinstance(condition, Label | Words), "captions need an encoder"
    known = condition.classes if isinstance(condition, Label) else condition.vocab
    return Batch(torch.zeros(size, 3, 0, 0), torch.arange(size) % known, ("",) * size, torch.arange(size), tokens)


def drawn(model: Model, labels: Tensor) -> Tensor:
    """Tokens of a seed."""
    *_, last = model.stream(labels, seed=5)
    return last.decoding.tokens.data.clone()


def test_step_0_is_the_loaded_model(twice: tuple[Model, Model], tmp_path: Path) -> None:
    """The loss before the first step, and what is drawn; afterwards the weights have moved, and what is saved is what was trained."""
    model, kept = twice
    batch = batch_of(model)
    assert batch.tokens is not None
    with torch.inference_mode():
        torch.manual_seed(0)  # as the trainer judges: with the noise of seed 0, at the progress of the beginning
        tokens = Tokens(batch.tokens, kept.system.layout)
        expected = float(kept.eval().loss(tokens, batch.labels, seed=0, progress=0.0)["loss"])
    options = Options(tmp_path / "run", sample_every=0, eval_every=1, log_every=1)
    trainer = Trainer(
        Generator(model, 2, loaded=True),
        Recipe(steps=2, batch=3, warmup=1, ema=0.0),
        options,
        Same(batch),
        Same(batch),
        {},  # type: ignore[arg-type]
    )
    assert torch.equal(drawn(model, batch.labels), drawn(kept, batch.labels))
    assert trainer.run() == 0
    log = read_log(tmp_path / "run")
    assert [entry["step"] for entry in log] == [0, 1, 2]
    assert log[0]["held_out_loss"] == pytest.approx(expected, rel=1e-5)
    trained = load(tmp_path / "run")
    assert trained.system == kept.system
    state = trained.network.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.network.state_dict().items())
    assert any(not torch.equal(value, state[key]) for key, value in kept.network.state_dict().items())


@pytest.mark.parametrize("name", ["llamagen_t2i", "infinity"])
def test_captions(name: str) -> None:
    """Features of captions are not in training data, so such models go on from `Model.loss`, which is the same for both loads."""
    Recordings(name).require()
    models = [plain(name)() if name == "llamagen_t2i" else test_infinity.loaded(read(name)) for _ in range(2)]
    losses = []
    for model in models:
        condition, unit = model.system.condition, model.system.tokenizer.unit
        assert isinstance(condition, Text | Attended)
        torch.manual_seed(0)
        features = torch.randn(2, 5, condition.dim), torch.ones(2, 5, dtype=torch.bool)
        codes = () if unit.codes == 1 else (unit.codes,)
        tokens = Tokens(torch.randint(unit.vocab, (2, model.system.layout.sites, *codes)), model.system.layout)
        torch.manual_seed(1)
        losses.append(model.train().loss(tokens, features)["loss"])
    assert torch.equal(*losses)
    losses[0].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in models[0].network.parameters())
