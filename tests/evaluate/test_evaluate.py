"""The whole evaluation, on samplers whose figures are known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nextset.data.base import Dataset, Item
from nextset.data.crop import to_float
from nextset.data.digits import Digits
from nextset.data.loader import once
from nextset.data.shapes import Shapes
from nextset.errors import NextsetError, UsageError
from nextset.evaluate import (
    Extractor,
    Protocol,
    evaluate,
    grade_shapes,
    load_samples,
    save_folder,
    save_npz,
    tiny_random,
    trained,
)
from nextset.evaluate.frechet import Moments, frechet
from nextset.evaluate.reference import Statistics

ALL = ("frechet", "kid", "precision-recall", "accuracy")


def pictures(split: str) -> tuple[Tensor, Tensor]:
    batches = list(once(Digits(split), 500, (8, 8), 1))
    return torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches])


class FromTraining:
    """Draws real training digits of the class that is asked for: the best that a sampler can be."""

    def __init__(self) -> None:
        self.images, self.labels = pictures("train")
        self.calls: list[tuple[int, int]] = []

    def __call__(self, labels: Tensor, first: int) -> Tensor:
        self.calls.append((first, len(labels)))
        pools = [(self.labels == label).nonzero().flatten() for label in labels]
        return torch.stack([self.images[pool[(first + i) % len(pool)]] for i, pool in enumerate(pools)])


def noise(labels: Tensor, first: int) -> Tensor:
    return torch.rand(len(labels), 1, 8, 8, generator=torch.Generator().manual_seed(first)) * 2 - 1


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return trained("digits")


def figures(result: Any) -> dict[str, float]:
    return {name: figure.value for name, figure in result.figures.items()}


def test_real_digits_are_good_and_noise_is_not(extractor: Extractor) -> None:
    protocol = Protocol(metrics=ALL, samples=360)
    sampler = FromTraining()
    good = figures(evaluate(protocol, Digits("test"), sample=sampler, extractor=extractor))
    bad = figures(evaluate(protocol, Digits("test"), sample=noise, extractor=extractor))
    assert sampler.calls == [(i, min(64, 360 - i)) for i in range(0, 360, 64)]
    # twice what was measured (frechet 1.3), and orders away from noise (frechet 126)
    assert good["frechet"] < 3 < 50 < bad["frechet"]
    assert good["kid"] < 1 < bad["kid"]
    assert min(good["precision"], good["recall"]) > 0.6 > 0.2 > bad["recall"]
    assert good["accuracy"] > 0.97  # training pictures, which the classifier has seen
    assert bad["accuracy"] < 0.25  # chance is 0.1


def test_the_data_themselves_are_perfect(extractor: Extractor) -> None:
    images, labels = pictures("test")
    result = evaluate(
        Protocol(metrics=ALL, samples=360),
        Digits("test"),
        sample=lambda y, i: images[i : i + len(y)],
        extractor=extractor,
    )
    found = figures(result)
    assert found["frechet"] < 1e-6  # only rounding: the features are float32
    assert (found["precision"], found["recall"]) == (1.0, 1.0)
    assert found["accuracy"] == extractor.accuracy == result.metadata["classifier_accuracy"]
    assert len(result.metadata["accuracy_per_class"]) == 10
    assert not result.warnings


def test_the_result_carries_its_protocol(extractor: Extractor) -> None:
    given = Protocol(metrics=("frechet",), samples=100, seed=7, guidance="3", balance="uniform")
    found = evaluate(given, Digits("test"), sample=noise, extractor=extractor).protocol
    assert (found.data, found.reference, found.extractor) == ("digits:test", 360, extractor.identity)
    assert (found.channels, found.size) == (1, (8, 8))
    assert dataclasses.replace(found, data="", reference=0, extractor="", channels=0, size=(0, 0)) == given


def test_pictures_are_judged_as_they_would_be_written(extractor: Extractor) -> None:
    images = pictures("train")[0][:100]
    protocol = Protocol(metrics=("frechet",), samples=100)
    exact, off, outside = (
        evaluate(protocol, Digits("test"), sample=lambda y, i, x=x: x[i : i + len(y)], extractor=extractor)
        for x in (
            images,
            images + 0.4 / 127.5,
            images * (1 + images.abs().floor()),
        )  # the last: black and white become -2 and 2
    )
    assert exact.figures == off.figures == outside.figures


def test_batches_change_nothing(extractor: Extractor) -> None:
    images = pictures("train")[0]

    def run(batch: int) -> dict[str, float]:
        draw = lambda y, i: images[i : i + len(y)]
        protocol = Protocol(metrics=ALL, samples=150)
        return figures(evaluate(protocol, Digits("test"), sample=draw, extractor=extractor, batch=batch))

    small, large = run(7), run(150)
    for name, value in small.items():  # convolutions of other batch sizes round differently, in float32
        assert value == pytest.approx(large[name], rel=1e-4, abs=1e-4), name


@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_files_are_judged_as_if_drawn(tmp_path: Path, extractor: Extractor, kind: str) -> None:
    images, labels = (x[:120] for x in pictures("train"))
    path = tmp_path / ("x" if kind == "folder" else "x.npz")
    (save_folder if kind == "folder" else save_npz)(images, path, labels)
    protocol = Protocol(metrics=ALL, samples=120)
    files = evaluate(protocol, Digits("test"), sample=load_samples(path), extractor=extractor)
    drawn = evaluate(protocol, Digits("test"), sample=lambda y, i: images[i : i + len(y)], extractor=extractor)
    assert files.figures["frechet"] == drawn.figures["frechet"]
    assert files.figures["accuracy"].value > 0.97
    with pytest.raises(UsageError, match="121 asked for, .* holds 120"):
        evaluate(Protocol(samples=121), Digits("test"), sample=load_samples(path), extractor=extractor)


def test_unlabelled_files_have_no_accuracy(tmp_path: Path, extractor: Extractor) -> None:
    save_folder(pictures("test")[0][:10], tmp_path)
    with pytest.raises(UsageError, match="accuracy needs a label"):
        evaluate(Protocol(samples=10), Digits("test"), sample=load_samples(tmp_path), extractor=extractor)


def test_stored_statistics_stand_for_the_data(extractor: Extractor, tmp_path: Path) -> None:
    images = pictures("train")[0][:200]
    real, drawn = Moments(extractor.dim), Moments(extractor.dim)
    real.add(extractor.features(pictures("all")[0]))
    drawn.add(extractor.features(images))
    real.save(tmp_path / "reference.npz")
    loaded = Statistics.load(tmp_path / "reference.npz")
    result = evaluate(
        Protocol(metrics=("frechet",), samples=200),
        Digits("test"),
        sample=lambda y, i: images[i : i + len(y)],
        extractor=extractor,
        statistics=loaded,
    )
    assert result.figures["frechet"].value == pytest.approx(frechet(real, drawn), rel=1e-4)  # float32 features by batch
    assert result.protocol.statistics == Moments.load(tmp_path / "reference.npz").identity


def test_bits_of_a_uniform_model() -> None:
    result = evaluate(
        Protocol(metrics=("bits",), samples=0),
        Digits("test"),
        log_prob=lambda x, y, first: torch.full((len(x),), -64 * math.log(17), dtype=torch.float64),
    )
    assert result.figures["bits"].value == pytest.approx(math.log2(17), abs=1e-12)
    assert result.protocol.extractor == ""


def test_classes_are_spread_as_the_protocol_says(extractor: Extractor) -> None:
    asked: list[Tensor] = []

    def draw(labels: Tensor, first: int) -> Tensor:
        asked.append(labels)
        return noise(labels, first)

    truth = pictures("test")[1]
    for balance, expected in (("uniform", torch.arange(90) % 10), ("data", truth[::4])):
        asked.clear()
        protocol = Protocol(metrics=("accuracy",), samples=90, balance=balance)
        evaluate(protocol, Digits("test"), sample=draw, extractor=extractor)
        assert torch.equal(torch.cat(asked), expected)


def test_prompts_are_graded() -> None:
    data = Shapes("test", count=30)
    pixels = data.stack(np.arange(30))
    protocol = Protocol(metrics=("grade",), samples=60, condition="caption")  # every caption twice

    def draw(captions: Sequence[str], first: int) -> Tensor:
        assert list(captions) == [pixels.captions[(first + i) // 2] for i in range(len(captions))]
        blank = torch.full((len(captions), 3, 32, 32), -1.0)
        known = to_float(pixels.images[[(first + i) // 2 for i in range(len(captions))]])
        return torch.where((torch.arange(first, first + len(captions)) % 2 == 0).view(-1, 1, 1, 1), known, blank)

    found = evaluate(protocol, data, sample=draw, grader=grade_shapes, batch=16)
    assert figures(found)["grade/all"] == 0.5  # every second picture is empty
    assert found.protocol.condition == "caption"


class Speechless(Digits):
    """Digits without captions."""

    def __getitem__(self, index: int) -> Item:
        return dataclasses.replace(super().__getitem__(index), caption="")


def test_pictures_without_captions_are_not_graded() -> None:
    for protocol in (Protocol(metrics=("grade",)), Protocol(metrics=("frechet",), condition="caption")):
        with pytest.raises(UsageError, match="digits:test has pictures without a caption"):
            evaluate(protocol, Speechless("test"), sample=noise, grader=grade_shapes, extractor=tiny_random(1))


def test_too_few_samples_are_said(extractor: Extractor) -> None:
    result = evaluate(Protocol(metrics=("frechet",), samples=64), Digits("test"), sample=noise, extractor=extractor)
    assert "64 samples are too few for 64 features" in result.warnings[0]
    result = evaluate(
        Protocol(metrics=("frechet",), samples=65), Digits("test"), sample=noise, extractor=tiny_random(1)
    )
    assert "not comparable" in result.warnings[0]


def test_bad_samples_are_named(extractor: Extractor) -> None:
    def broken(labels: Tensor, first: int) -> Tensor:
        images = noise(labels, first)
        images[3 if first else 0] = torch.nan if first else 0.0
        return images

    with pytest.raises(NextsetError, match="sample 23 "):
        evaluate(Protocol(samples=60), Digits("test"), sample=broken, extractor=extractor, batch=20)
    with pytest.raises(UsageError, match=r"\(64, 1, 4, 4\), the protocol says \(64, 1, 8, 8\)"):
        evaluate(
            Protocol(samples=64), Digits("test"), sample=lambda y, i: noise(y, i)[..., :4, :4], extractor=extractor
        )


def five_features() -> Statistics:
    moments = Moments(5)
    moments.add(torch.rand(9, 5))
    return Statistics(moments)


class Empty(Dataset):
    name = "empty:test"

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> Item:
        raise IndexError(index)


@pytest.mark.parametrize(
    ("given", "metrics", "said"),
    [
        ({}, ("bits",), "log_prob is needed for bits"),
        ({"extractor": tiny_random(1)}, ("frechet", "kid"), "sample is needed for frechet, kid"),
        ({"sample": noise}, ("accuracy",), "extractor is needed for accuracy"),
        ({"sample": noise}, ("grade",), "grader is needed"),
        ({"sample": noise, "extractor": tiny_random(1)}, ("accuracy",), "does not classify"),
        ({"sample": noise, "extractor": tiny_random(3)}, ("frechet",), r"takes images \(B, 3"),
        ({"sample": noise, "extractor": tiny_random(1), "batch": 0}, ("frechet",), "batch"),
        ({"sample": noise, "extractor": tiny_random(1), "statistics": five_features()}, ("frechet",), "of 5 features"),
    ],
)
def test_what_is_missing_is_said_before_any_work(given: dict, metrics: tuple[str, ...], said: str) -> None:
    def never(labels: Tensor, first: int) -> Tensor:
        raise AssertionError("no work may begin")

    given = {key: never if value is noise else value for key, value in given.items()}
    with pytest.raises(UsageError, match=said):
        evaluate(Protocol(metrics=metrics, samples=20), Digits("test"), **given)


def test_counts_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 4 samples"):
        evaluate(
            Protocol(metrics=("precision-recall",), samples=3), Digits("test"), sample=noise, extractor=tiny_random(1)
        )
    with pytest.raises(UsageError, match="empty:test holds no pictures"):
        evaluate(Protocol(samples=3), Empty(), sample=noise, extractor=tiny_random(1))
