"""Training tokenizers: what moves, what revives, what resumes, and that a generator stands on the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from nextset import Model, System, UsageError
from nextset.data.encode import write_cache
from nextset.data.open import open_dataset
from nextset.objectives.adversarial import TokenizerLoss
from nextset.pretrained import load_tokenizer
from nextset.tokenizers.pixel import Pixel
from nextset.tokenizers.vq import VQ
from nextset.train import Options, Recipe, Revival, Trainer, set_up_generator, set_up_tokenizer
from nextset.train.journal import read_log
from nextset.train.state import FILE

SPEC = VQ(32, 4, width=8, multipliers=(1, 2), blocks=1, latent=8, groups=4, channels=1)
RECIPE = Recipe(steps=12, batch=8, lr=3e-3, warmup=2, weight_decay=0.0, ema=0.9)
LOSS = TokenizerLoss(gan=True, gan_start=3, gan_layers=1, gan_width=8)
REVIVAL = Revival(every=4, until=0.9)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Trainer]:
    def make(name: str, loss: TokenizerLoss = LOSS, **changes: Any) -> Trainer:
        options = Options(
            tmp_path / name, resume=changes.pop("resume", False), log_every=1, eval_every=6, sample_every=6
        )
        recipe = replace(RECIPE, **changes)
        return set_up_tokenizer(SPEC, (8, 8), "digits", recipe, loss=loss, revival=REVIVAL).trainer(options)

    return make


def test_pixels_improve_and_codes_revive(run: Callable[..., Trainer], tmp_path: Path) -> None:
    run("plain", TokenizerLoss(), steps=40).run()
    log = read_log(tmp_path / "plain")
    assert log[-1]["pixel"] < 0.5 * log[0]["pixel"]
    assert [entry["step"] for entry in log if "revived" in entry] == [4, 8, 12, 16, 20, 24, 28, 32, 36]
    assert sum(entry.get("revived", 0) for entry in log) > 0
    assert all(0 < entry["usage"] <= 1 and 1 <= entry["perplexity"] <= 32 for entry in log)
    assert (tmp_path / "plain" / "samples" / "step-0000006.png").exists()


def test_the_adversary_idles_then_learns_by_its_own_optimiser(run: Callable[..., Trainer], tmp_path: Path) -> None:
    trainer = run("gan", weight_decay=0.0)
    patches = trainer.tracks[1].raw
    before = {key: value.clone() for key, value in patches.state_dict().items()}
    trainer.run()
    log = read_log(tmp_path / "gan")
    assert [entry["step"] for entry in log if "gan" in entry] == list(range(4, 13)), "starts at step 3, counted from 0"
    assert [entry["adversary_loss"] == 0 for entry in log] == [True] * 3 + [False] * 9
    assert any(not torch.equal(value, before[key]) for key, value in patches.state_dict().items())
    ours = {id(p) for group in trainer.tracks[0].optimizer.param_groups for p in group["params"]}
    assert not ours & {id(p) for p in patches.parameters()}


def test_resuming_is_exact_with_adversary_and_revival(run: Callable[..., Trainer], tmp_path: Path) -> None:
    run("whole").run()
    halfway = run("halves")
    halfway.options = replace(halfway.options, save_every=6)
    report, halfway._report = halfway._report, lambda *a: (report(*a), _crash(halfway))[0]  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="crash"):
        halfway.run()
    run("halves", resume=True).run()
    left, right = load_file(tmp_path / "whole" / FILE), load_file(tmp_path / "halves" / FILE)
    assert left.keys() == right.keys()
    assert all(torch.equal(value, right[key]) for key, value in left.items())


def _crash(trainer: Trainer) -> None:
    if trainer.done == 7:
        raise RuntimeError("crash")


def test_the_folder_loads_and_reconstructs(run: Callable[..., Trainer], tmp_path: Path) -> None:
    trainer = run("plain", TokenizerLoss(), steps=4)
    trainer.run()
    spec, module = load_tokenizer(tmp_path / "plain")
    assert spec == SPEC
    images = trainer.held_out.at(0).images  # type: ignore[union-attr]
    with trainer._averaged(), torch.no_grad():
        own = trainer.tracks[0].raw.eval().tokenizer
        assert torch.equal(module.decode(module.encode(images)), own.decode(own.encode(images)))


@pytest.fixture
def generator(system: System) -> System:
    """A system for digits in VQ tokens."""
    return replace(system, tokenizer=SPEC, size=(8, 8))


def test_a_generator_trains_on_it_and_on_its_cache(
    run: Callable[..., Trainer], generator: System, tmp_path: Path
) -> None:
    run("vq", TokenizerLoss(), steps=2).run()
    spec, module = load_tokenizer(tmp_path / "vq")
    train, test = str(tmp_path / "cache"), str(tmp_path / "test")
    for path, split in ((train, "train"), (test, "test")):
        write_cache(path, open_dataset("digits", split), module, spec, (8, 8))
    recipe, losses = Recipe(steps=2, batch=8), []
    for data, held_out in (("digits", ""), (train, "digits"), (train, test), ("digits", test)):
        setup = set_up_generator(generator, data, recipe, tokenizer=str(tmp_path / "vq"), held_out=held_out)
        name = tmp_path / f"generator-{len(losses)}"
        setup.trainer(Options(name, log_every=1, sample_every=0, eval_every=2)).run()
        losses.append([(entry["loss"], entry.get("held_out_loss")) for entry in read_log(name)])
        assert Model.from_pretrained(name).generate(3, count=2).shape == (2, 1, 8, 8)
    assert losses[0][-1][1] is not None
    assert losses == [losses[0]] * 4, "tokens encoded now and encoded before are the same tokens"


def test_a_learned_tokenizer_must_be_given(generator: System) -> None:
    with pytest.raises(UsageError, match=r"tokenizer: VQ is learned.*train-tokenizer"):
        set_up_generator(generator, "digits", RECIPE)


def test_a_cache_of_another_tokenizer_is_refused(generator: System, system: System, tmp_path: Path) -> None:
    module = SPEC.build().eval()
    write_cache(tmp_path / "cache", open_dataset("digits", "test"), module, SPEC, (8, 8))
    with pytest.raises(UsageError, match="made by another tokenizer"):
        set_up_generator(system, str(tmp_path / "cache"), RECIPE)


def test_pixels_have_nothing_to_train() -> None:
    with pytest.raises(UsageError, match="no weights to train"):
        set_up_tokenizer(Pixel(5), (8, 8), "digits", RECIPE, loss=TokenizerLoss(), revival=REVIVAL)


def test_data_with_too_many_classes_is_refused(system: System) -> None:
    small = replace(system, condition=replace(system.condition, classes=3))
    with pytest.raises(UsageError, match=r"10 classes, the system only 3.*condition\.classes"):
        set_up_generator(small, "digits", RECIPE)


def test_data_without_classes_is_refused(system: System, tmp_path: Path) -> None:
    for index in range(4):
        Image.fromarray(np.full((4, 4, 3), index, np.uint8)).save(tmp_path / f"{index}.png")
    with pytest.raises(UsageError, match="has no classes"):
        set_up_generator(system, str(tmp_path), RECIPE)
