"""Tokenizers under judgement: figures that are known, what the protocol holds, and what is refused before any work."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nextset.data.base import Dataset, Item
from nextset.data.digits import Digits
from nextset.data.loader import once
from nextset.data.shapes import Shapes
from nextset.errors import NextsetError, UsageError
from nextset.evaluate import (
    Protocol,
    Reconstruction,
    Result,
    TextTest,
    ThroughFiles,
    ThroughTokens,
    compare,
    load_samples,
    psnr,
    round_trip,
    save_npz,
    ssim,
    tiny_random,
)
from nextset.evaluate.round_trip import METRICS
from nextset.layout import Tokens
from nextset.nn.perceptual import PerceptualDistance
from nextset.tokenizers.kl_vae import KLVAE
from nextset.tokenizers.pixel import Pixel
from nextset.tokenizers.vq import VQ

SMALL = VQ(16, 4, channels=3, width=8, multipliers=(1, 1), blocks=1, latent=8, groups=4)
DATA = Shapes("test", count=24)


def pixels(levels: int, channels: int = 3) -> ThroughTokens:
    spec = Pixel(levels, channels)
    return ThroughTokens(spec, spec.build())


def flat_distance() -> PerceptualDistance:
    """A distance by one map of averages, for pictures of 3 channels."""

    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("one", torch.ones(1))

        def forward(self, images: Tensor) -> list[Tensor]:
            return [images + 1.5]

    return PerceptualDistance(Maps(), identity="flat:1")


@pytest.fixture(scope="module")
def result() -> Result:
    protocol = Reconstruction(pictures=20)
    return round_trip(protocol, DATA, pixels(4), extractor=tiny_random(3), distance=flat_distance(), batch=7)


def test_pictures_are_those_that_the_protocol_names(result: Result) -> None:
    trip = pixels(4)
    chosen = [i * 24 // 20 for i in range(20)]
    (batch,) = once(DATA, 24, (32, 32), 3)
    images = batch.images[chosen]
    again = trip.again(images, 0)
    figures = result.figures
    assert figures["psnr"].value == pytest.approx(psnr(images, again).mean().item(), rel=1e-9)
    assert figures["ssim"].value == pytest.approx(ssim(images, again).mean().item(), rel=1e-9)
    error = psnr(images, again).std().item() / math.sqrt(20)
    assert figures["psnr"].error == pytest.approx(error, rel=1e-9)
    assert trip.usage is not None
    assert figures["code-usage"].value == trip.usage.usage
    assert figures["perplexity"].value == pytest.approx(trip.usage.perplexity)
    assert figures["bits"].value == 6  # 4^3 colours a pixel
    assert 0 < figures["entropy"].value < 6
    assert figures["frechet"].value > 0
    assert figures["lpips"].value > 0


def test_the_protocol_tells_all_of_it(result: Result, tmp_path: Path) -> None:
    protocol = result.protocol
    assert isinstance(protocol, Reconstruction)
    assert (protocol.data, protocol.pictures, protocol.size, protocol.channels) == ("shapes:test", 20, (32, 32), 3)
    assert protocol.extractor.startswith("random:")
    assert (protocol.distance, protocol.detail) == ("flat:1", "gratings-v1")
    assert [name.split(":")[0] for name in protocol.text] == ["text-11px"]
    assert {"tokens_per_image", "encode_images_per_second", "decode_images_per_second"} <= set(result.metadata)
    assert result.metadata["text-11px/floor"] == [0, 0]
    result.save(tmp_path / "r.json")
    assert Result.load(tmp_path / "r.json") == result
    other = round_trip(
        dataclasses.replace(protocol, pictures=10), DATA, pixels(4), extractor=tiny_random(3), distance=flat_distance()
    )
    with pytest.raises(UsageError, match="pictures 20 vs 10"):
        compare(result, other)
    with pytest.raises(UsageError, match="Reconstruction vs Protocol"):
        compare(result, Result(Protocol(), {}))


def test_the_id_follows_every_field() -> None:
    changed = {"metrics": ("psnr",), "size": (8, 9), "text": ("x",)}
    ids = {Reconstruction().id}
    for f in dataclasses.fields(Reconstruction):
        value = getattr(Reconstruction(), f.name)
        new = changed.get(f.name, value + 1 if isinstance(value, int) else f"{value}x")
        ids.add(dataclasses.replace(Reconstruction(), **{f.name: new}).id)
    assert len(ids) == 1 + len(dataclasses.fields(Reconstruction))


def test_fewer_levels_lose_more() -> None:
    """Every task, of tokenizers that are better and better."""
    protocol = Reconstruction(metrics=("psnr", "ssim", "frechet", "detail", "text", "codes"), pictures=12)
    found = [round_trip(protocol, DATA, pixels(n), extractor=tiny_random(3)).figures for n in (2, 4, 8, 16)]
    for name in ("psnr", "ssim", "detail/psnr", "bits"):
        values = [figures[name].value for figures in found]
        assert values == sorted(values), name
    assert found[-1]["frechet"].value < found[0]["frechet"].value
    assert found[-1]["detail/error-4px"].value < 0.05 < found[0]["detail/error-4px"].value
    assert {figures["text-11px/cer"].value for figures in found} == {0}  # black and white survive


def test_an_exact_tokenizer_loses_nothing() -> None:
    result = round_trip(
        Reconstruction(metrics=("psnr", "codes", "frechet")), Digits("test"), pixels(256, 1), extractor=tiny_random(1)
    )
    assert result.figures["psnr"].value == math.inf
    assert result.figures["frechet"].value < 1e-6
    assert result.figures["bits"].value == 8
    assert Result.from_dict(result.to_dict()) == result


def test_learned_tokenizers_go_through() -> None:
    torch.manual_seed(0)
    trip = ThroughTokens(SMALL, SMALL.build())
    result = round_trip(Reconstruction(metrics=("psnr", "codes"), pictures=6), DATA, trip)
    assert result.figures["bits"].value == pytest.approx(16 * 16 * 4 / 32**2)
    assert result.metadata["tokens_per_image"] == 256
    assert not result.warnings
    few = round_trip(Reconstruction(metrics=("codes",), pictures=1), Digits("test"), pixels(256, 1))
    assert "64 tokens are too few to use 256 codes" in few.warnings[0]


def test_vectors_have_no_codes() -> None:
    spec = KLVAE(dim=4, channels=3, width=8, multipliers=(1, 1), blocks=1, groups=4)
    result = round_trip(Reconstruction(metrics=("psnr", "codes"), pictures=6), DATA, ThroughTokens(spec, spec.build()))
    assert set(result.figures) == {"psnr"}
    assert result.metadata["tokens_per_image"] == 256


def test_files_are_judged_by_their_place(tmp_path: Path) -> None:
    (batch,) = once(DATA, 24, (32, 32), 3)
    again = pixels(4).again(batch.images, 0)
    save_npz(again, tmp_path / "again.npz")
    metrics = ("psnr", "ssim", "frechet")
    files = round_trip(
        Reconstruction(metrics=metrics),
        DATA,
        ThroughFiles(load_samples(tmp_path / "again.npz")),
        extractor=tiny_random(3),
    )
    through = round_trip(Reconstruction(metrics=metrics), DATA, pixels(4), extractor=tiny_random(3))
    assert files.figures == through.figures
    assert files.protocol == through.protocol
    save_npz(again[:23], tmp_path / "short.npz")
    save_npz(again[..., :16], tmp_path / "narrow.npz")
    for name, metric, said in (
        ("short", "psnr", "holds 23 pictures for 24 of data shapes:test: each needs its reconstruction"),
        ("narrow", "psnr", r"\(32, 16, 3\), data shapes:test gives \(32, 32, 3\)"),
        ("again", "text", "text needs a tokenizer"),
        ("again", "codes", "codes needs a tokenizer"),
    ):
        with pytest.raises(UsageError, match=said):
            round_trip(Reconstruction(metrics=(metric,)), DATA, ThroughFiles(load_samples(tmp_path / f"{name}.npz")))


def test_any_text_and_reader_will_do() -> None:
    pictures = torch.zeros(3, 3, 32, 32)
    test = TextTest("mine", pictures, ["a b", "c", "d"], lambda p: ["a b", "c", "x" if p.mean() > 130 else "d"])
    result = round_trip(Reconstruction(metrics=("text",)), DATA, pixels(2), texts=[test])
    assert result.figures["mine/cer"].value in (0, 1 / 5)
    assert result.metadata["mine/floor"] == [0, 0]
    assert result.protocol.text == (test.identity,)  # type: ignore[attr-defined]


class Nothing(Dataset):
    name = "nothing:test"

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> Item:
        raise IndexError(index)


@pytest.mark.parametrize(
    ("protocol", "given", "said"),
    [
        (Reconstruction(metrics=("frechet",)), {}, "extractor is needed for frechet"),
        (Reconstruction(metrics=("lpips",)), {}, "distance is needed for lpips"),
        (Reconstruction(metrics=("psnr",), pictures=25), {}, "25 asked for, data shapes:test holds 24"),
        (Reconstruction(metrics=("psnr",), channels=1), {}, r"\(B, 3, H, W\)"),
        (Reconstruction(metrics=("ssim",), size=(8, 32)), {}, "11x11, pictures are 8x32"),
        (Reconstruction(metrics=("detail",), size=(8, 32)), {}, "detail needs pictures of at least 32"),
        (Reconstruction(metrics=("text",), size=(8, 32)), {}, "text needs pictures of at least 11x24"),
        (Reconstruction(metrics=("psnr",)), {"batch": 0}, "batch"),
        (Reconstruction(metrics=("frechet",)), {"extractor": tiny_random(1)}, r"takes images \(B, 1"),
        (
            Reconstruction(metrics=("text",)),
            {"texts": [TextTest("t", torch.zeros(1, 3, 8, 8), ["a"], list)]},
            "t has pictures",
        ),
        (Reconstruction(metrics=("frechet",), pictures=1), {"extractor": tiny_random(3)}, "at least 2 pictures"),
    ],
)
def test_what_does_not_fit_is_said_before_any_work(protocol: Reconstruction, given: dict, said: str) -> None:
    trip = pixels(4)
    trip.module.encode = None  # type: ignore[assignment]
    with pytest.raises(UsageError, match=said):
        round_trip(protocol, DATA, trip, **given)


def test_other_misfits_are_refused() -> None:
    with pytest.raises(UsageError, match="nothing:test holds no pictures"):
        round_trip(Reconstruction(metrics=("psnr",)), Nothing(), pixels(4))
    trip = ThroughTokens(SMALL, SMALL.build())
    with pytest.raises(UsageError, match="multiples of 2"):
        round_trip(Reconstruction(metrics=("psnr",), size=(31, 32)), DATA, trip)
    with pytest.raises(UsageError, match="did you mean 'psnr'"):
        Reconstruction(metrics=("psnrr",))
    with pytest.raises(UsageError, match="each once"):
        Reconstruction(metrics=("psnr", "psnr"))
    with pytest.raises(UsageError, match="pictures must be at least 1"):
        Reconstruction(pictures=-1)
    assert Reconstruction().metrics == METRICS


def test_a_reconstruction_that_is_not_finite_is_named() -> None:
    trip = pixels(4)
    decode = trip.module.decode

    def broken(tokens: Tokens) -> Tensor:
        images = decode(tokens)
        images[-1, 0, 0, 0] = torch.nan
        return images

    trip.module.decode = broken  # type: ignore[method-assign]
    with pytest.raises(NextsetError, match="sample 9 holds NaN"):
        round_trip(Reconstruction(metrics=("psnr",), pictures=24), DATA, trip, batch=10)
