"""The dry run against what really happens."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nextset import System
from nextset.data.encode import write_cache
from nextset.data.open import open_dataset
from nextset.train import Options, Recipe, set_up_generator
from nextset.train import estimate as dry
from nextset.train.estimate import estimate, kept_for_backward


def test_counted_activations_are_those_that_autograd_keeps(system: System, recipe: Recipe) -> None:
    """The same loss on the CPU with real tensors keeps as many bytes as the count on the meta device says."""
    with torch.device("meta"):
        counted = set_up_generator(system, "digits", recipe)
    batch = counted.train.at(0)
    real = set_up_generator(system, "digits", recipe).trainee.phases[0]
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    real.module.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        real.module(*real.inputs(batch, 0, 0))
    weights = {p.untyped_storage()._cdata for p in real.module.parameters()}
    expected = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in weights)
    found = kept_for_backward(counted.trainee.phases[0], batch)
    assert found == pytest.approx(expected, rel=0.15), "kernels of the two devices keep slightly different extras"


def test_everything_is_said(system: System, recipe: Recipe, tmp_path: Path) -> None:
    found = estimate(partial(set_up_generator, system, "digits", recipe), Options(tmp_path / "run"))
    assert found.parameters == sum(p.numel() for p in system.network().parameters())
    assert found.weights == found.gradients == found.average == found.moments // 2 == 4 * found.parameters
    assert found.fits
    assert found.seconds == pytest.approx(recipe.steps * recipe.batch / found.images_per_second)
    assert found.tokens_per_second == pytest.approx(found.images_per_second * system.layout.sites)
    assert all(word in str(found) for word in ("parameters", "memory", "tokens/s", "time"))
    assert not (tmp_path / "run").exists()


def test_a_token_cache_takes_what_its_pictures_take(system: System, recipe: Recipe, tmp_path: Path) -> None:
    write_cache(tmp_path / "cache", open_dataset("digits", "test"), system.tokenizer.build(), system.tokenizer, (4, 4))
    sources = ("digits", str(tmp_path / "cache"))
    found = [estimate(partial(set_up_generator, system, data, recipe), Options(tmp_path), 1) for data in sources]
    assert found[0].activations == found[1].activations


def test_checkpointing_takes_less(system: System, recipe: Recipe, tmp_path: Path) -> None:
    deep = replace(system, backbone=replace(system.backbone, depth=8))
    build = partial(set_up_generator, deep, "digits", recipe)
    kept, again = (estimate(build, Options(tmp_path, checkpointing=on), steps=1).activations for on in (False, True))
    assert again < 0.5 * kept


def test_what_does_not_fit_is_not_tried(
    system: System, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry, "_available", lambda: 1000)
    found = estimate(partial(set_up_generator, system, "digits", recipe), Options(tmp_path))
    assert not found.fits
    assert found.seconds is None
    assert "does not fit" in str(found)
