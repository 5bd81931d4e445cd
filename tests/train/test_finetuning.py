"""Going on from loaded weights, official ones too: step 0 is the loaded model, in its losses, its pictures and its quirks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nextset import Model, catalogue, load, load_official
from nextset.evaluate.samples import save_grid
from nextset.official import llamagen
from nextset.train import Recipe, set_up_generator
from nextset.train.journal import read_log
from nextset.train.run import Setup
from tests.laws.toys import lively

SYSTEM = replace(catalogue.spec("llamagen/digits"), backbone=catalogue.spec("llamagen/tiny").backbone)
RECIPE = Recipe(steps=3, batch=8, lr=1e-3, warmup=1, ema=0.9)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Weights in the official layout, loaded, on pixels in the place of codes."""
    made = lively(SYSTEM)
    torch.save({"model": llamagen.KEYS.to_theirs(made.network.state_dict())}, tmp_path / "gpt.pt")
    network = load_official("llamagen", tmp_path / "gpt.pt", {"n_head": 2, "block_size": 64, "multiple_of": 16})
    assert isinstance(network, Model)
    found = SYSTEM.build().eval()
    found.network.load_state_dict(network.network.state_dict())
    return found


def held_out_loss(model: Model, setup: Setup) -> float:
    """The mean over the test split, each picture once."""
    assert setup.held_out is not None
    with torch.inference_mode():
        batches = list(setup.held_out.once())
        losses = [float(model.eval().loss(batch.images, batch.labels)["loss"]) * len(batch) for batch in batches]
    return sum(losses) / sum(map(len, batches))


def test_step_0_is_the_loaded_model(model: Model, tmp_path: Path) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    setup = set_up_generator(model, "digits", RECIPE)
    expected, batch = held_out_loss(model, setup), next(setup.train.batches(0))
    drawn = model.generate(batch.labels[:16], seed=0)
    setup.run(tmp_path / "run", sample_every=2, eval_every=2, log_every=1)
    log = read_log(tmp_path / "run")
    assert log[0]["step"] == 0
    assert log[0]["held_out_loss"] == pytest.approx(expected, rel=1e-5)
    save_grid(drawn, tmp_path / "drawn.png")
    assert (tmp_path / "run" / "samples" / "step-0000000.png").read_bytes() == (tmp_path / "drawn.png").read_bytes()
    after = load(tmp_path / "run").state_dict()
    assert any(not torch.equal(value, before[key]) for key, value in after.items() if key.startswith("network."))
    assert load(tmp_path / "run").system == model.system


def test_fresh_weights_are_not_judged_before_the_first_step(tmp_path: Path) -> None:
    set_up_generator(SYSTEM, "digits", RECIPE).run(tmp_path / "run", sample_every=2, eval_every=2, log_every=1)
    assert [entry["step"] for entry in read_log(tmp_path / "run")] == [1, 2, 3]
