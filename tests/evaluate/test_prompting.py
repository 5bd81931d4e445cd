"""The prompt score of a sampler, and what a tokenizer keeps legible."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nextset.data.crop import to_float
from nextset.data.digits import Digits
from nextset.data.shapes import Scene, Shape, Shapes
from nextset.data.shapes.grading.prompts import CATEGORIES
from nextset.data.shapes.phrase import parse
from nextset.data.shapes.render import render
from nextset.errors import NextsetError, UsageError
from nextset.evaluate import Protocol, legibility, load_samples, prompt_list, prompt_score, save_npz
from nextset.layout import Tokens, grid
from nextset.tokenizers.base import TokenizerModule

SHIFT = {"left of": (-0.25, 0.0), "right of": (0.25, 0.0), "above": (0.0, -0.25), "below": (0.0, 0.25)}


def obedient(captions: Any, first: int) -> Tensor:
    """Draws what the captions say."""
    scenes = []
    for prompt in map(parse, captions):
        x, y = SHIFT[prompt.relation or "left of"]
        places = [(0.5 + x, 0.5 + y), (0.5 - x, 0.5 - y), (0.5, 0.82)]
        groups = [group for group in prompt.groups for _ in range(group.count)]
        shapes = [Shape(g.kind, g.colour or "red", *at, 0.12) for g, at in zip(groups, places, strict=False)]
        scenes.append(Scene(tuple(shapes)))
    return to_float(render(scenes, 64).images)


def forgetful(captions: Any, first: int) -> Tensor:
    """Draws the first group only, and one shape of it."""
    prompts = [parse(caption).first for caption in captions]
    return to_float(render([Scene((Shape(g.kind, g.colour or "red", 0.5, 0.5, 0.15),)) for g in prompts], 64).images)


def test_an_obedient_sampler_scores_one_in_every_category() -> None:
    found = prompt_score(obedient, per_category=10, batch=7)
    assert set(found.figures) == {f"grade/{name}" for name in (*CATEGORIES, "overall")}
    assert {figure.value for figure in found.figures.values()} == {1.0}
    protocol = found.protocol
    assert (protocol.samples, protocol.size, protocol.data) == (60, (64, 64), "shapes-prompts:10:0")
    assert found.protocol.id != prompt_score(obedient, per_category=10, seed=1).protocol.id


def test_a_forgetful_sampler_scores_what_it_draws() -> None:
    figures = prompt_score(forgetful, per_category=10).figures
    values = {name.removeprefix("grade/"): figure.value for name, figure in figures.items()}
    assert values.pop("overall") == pytest.approx(2 / 6)
    assert values == dict.fromkeys(CATEGORIES, 0.0) | {"single object": 1.0, "colours": 1.0}


def test_pictures_in_files_are_scored_alike(tmp_path: Path) -> None:
    captions = [caption for _, caption in prompt_list(5)]
    assert len(captions) == 30
    save_npz(obedient(captions, 0), tmp_path / "drawn.npz")
    assert prompt_score(load_samples(tmp_path / "drawn.npz"), 5).figures["grade/overall"].value == 1
    with pytest.raises(UsageError, match="holds 30 pictures, the prompts are 36"):
        prompt_score(load_samples(tmp_path / "drawn.npz"), 6)


def test_wrong_samplers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"images \(1, 3, 8, 8\) for 2 captions"):
        prompt_score(lambda captions, first: torch.zeros(1, 3, 8, 8), 2)
    with pytest.raises(NextsetError, match="sample 0"):
        prompt_score(lambda captions, first: torch.full((len(captions), 3, 8, 8), math.nan), 2)
    with pytest.raises(UsageError, match="batch"):
        prompt_score(obedient, 2, batch=0, protocol=Protocol(metrics=("grade",)))


class Coarse(TokenizerModule):
    """Keeps the means of squares of `step` pixels, and may mirror them."""

    def __init__(self, step: int = 1, mirror: bool = False) -> None:
        super().__init__()
        self.step, self.mirror = step, mirror

    def encode(self, images: Tensor) -> Tokens:
        small = F.avg_pool2d(images.flip(3) if self.mirror else images, self.step)
        return Tokens(small.flatten(2).movedim(1, 2), grid(*small.shape[2:]))

    def decode(self, tokens: Tokens) -> Tensor:
        side = math.isqrt(tokens.data.shape[1])
        small = tokens.data.movedim(2, 1).unflatten(2, (side, side))
        return small.repeat_interleave(self.step, 2).repeat_interleave(self.step, 3)

    def loss(self, images: Tensor) -> dict[str, Tensor]:
        return {}


def test_legibility_is_what_comes_back() -> None:
    data = Shapes("test", 32)
    exact = legibility(Coarse(), data, 40)
    assert exact.clean == exact.reconstructed
    assert exact.clean["grade/all"].value == exact.clean["scene/all"].value == 1
    mirrored = legibility(Coarse(mirror=True), data, 40, batch=16)
    assert mirrored.clean == exact.clean
    back = {name: figure.value for name, figure in mirrored.reconstructed.items()}
    assert {back[name] for name in ("grade/count", "grade/kind", "grade/colour", "grade/size")} == {1.0}
    said = [prompt.relation for i in range(40) if (prompt := data.sample(i).prompt).relation]
    assert back["grade/relation"] == sum(relation in ("above", "below") for relation in said) / len(said)
    assert back["scene/position"] < 0.2
    coarse = legibility(Coarse(8), data, 40)
    assert coarse.reconstructed["scene/all"].value == 0
    assert "reconstructed" in str(coarse)


def test_legibility_refuses_what_it_cannot_read() -> None:
    with pytest.raises(UsageError, match="world of shapes"):
        legibility(Coarse(), Digits("test"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="count"):
        legibility(Coarse(), Shapes("test", count=5), 6)
