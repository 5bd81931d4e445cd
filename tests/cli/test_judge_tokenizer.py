"""`nextset evaluate-tokenizer`: one protocol for all that are compared, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nextset.cli import main
from nextset.data.loader import once
from nextset.data.shapes import Shapes
from nextset.evaluate import Reconstruction, Result, save_npz
from nextset.nn.perceptual import ALEXNET
from nextset.pretrained import save_tokenizer
from nextset.tokenizers.pixel import Pixel
from nextset.tokenizers.vq import VQ

Capture = pytest.CaptureFixture[str]

LEARNED = VQ(16, 4, channels=3, width=8, multipliers=(1, 1), blocks=1, latent=8, groups=4)
COUNT = ["--data", "shapes", "--count", "12"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A coarse tokenizer of pixels, and one that has learned nothing yet."""
    folder, places = tmp_path_factory.mktemp("tokenizers"), []
    for name, spec in (("coarse", Pixel(4, 3)), ("fresh", LEARNED)):
        places.append(str(save_tokenizer(folder / name, spec, spec.build().state_dict())))
    return places


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights of LPIPS on AlexNet."""
    folder, generator = tmp_path_factory.mktemp("lpips"), torch.Generator().manual_seed(0)
    state = {key: torch.rand(shape, generator=generator) * 0.02 for key, shape in ALEXNET.shapes().items()}
    save_file(state, folder / "both.safetensors")
    return str(folder)


def refused(capsys: Capture, *words: str) -> str:
    assert main(["evaluate-tokenizer", *words]) == 2
    return capsys.readouterr().err


def test_all_that_applies_in_one_table(saved: list[str], weights: str, tmp_path: Path, capsys: Capture) -> None:
    words = ["evaluate-tokenizer", *saved, *COUNT, "--extractor", "tiny-random", "--lpips", weights]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["figure", *saved]
    names = [line.split()[0] for line in lines[1:]]
    own = [
        "code-usage",
        "perplexity",
        "bits",
        "entropy",
        "detail/psnr",
        "text-11px/cer",
        "text-11px/wer",
        "encode",
        "decode",
    ]
    assert {"psnr", "ssim", "lpips", "frechet", *own} <= set(names)
    assert lines[-1].startswith("protocol ")
    left, right = (Result.load(path) for path in sorted((tmp_path / "out").iterdir()))
    assert left.protocol == right.protocol
    assert isinstance(left.protocol, Reconstruction)
    assert left.protocol.distance.startswith("lpips-alexnet:")
    assert left.metadata["spec"] == str(Pixel(4, 3))
    assert left.figures["psnr"].value > right.figures["psnr"].value
    paths = [str(path) for path in sorted((tmp_path / "out").iterdir())]
    assert main(["compare-results", *paths]) == 0


def test_files_and_tokenizers_share_what_both_can(saved: list[str], tmp_path: Path, capsys: Capture) -> None:
    data = Shapes("test")
    (batch,) = once(Shapes("test", count=12), 12, (32, 32), 3)
    save_npz(batch.images, tmp_path / "data.npz")
    save_npz((batch.images * 2).round() / 2, tmp_path / "other.npz")
    words = [saved[0], str(tmp_path / "other.npz"), "--data", str(tmp_path / "data.npz")]
    assert main(["evaluate-tokenizer", *words, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["id"] == second["id"]
    assert list(second["figures"]) == ["psnr", "ssim"]
    said = refused(capsys, str(tmp_path / "other.npz"), "--data", "shapes")
    assert f"holds 12 pictures for {len(data)} of data shapes:test" in said


def test_small_pictures_are_judged_by_less(tmp_path: Path, capsys: Capture) -> None:
    spec = Pixel(17)
    place = str(save_tokenizer(tmp_path / "exact", spec, spec.build().state_dict()))
    assert main(["evaluate-tokenizer", place, "--data", "digits", "--count", "20", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["protocol"]["metrics"] == ["psnr", "frechet", "codes"]
    assert found["protocol"]["extractor"].startswith("digits-cnn")


def test_wrong_use_is_refused(
    saved: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delenv("NEXTSET_LPIPS", raising=False)
    (tmp_path / "file").write_text("")
    for words, said in (
        (["--data", "shapes"], "say which tokenizers first"),
        ([saved[0], "--data", "shape"], "did you mean 'shapes'"),
        ([saved[0], "--data", "shapes", "--count", "0"], "count must be at least 1"),
        ([saved[0], *COUNT, "--metrics", "lpips"], "give --lpips FOLDER or set $NEXTSET_LPIPS"),
        ([saved[0], *COUNT, "--lpips", str(tmp_path / "none")], "has no weights"),
        ([saved[0], *COUNT, "--extractor", "digits"], r"takes images (B, 1, 8, 8)"),
        ([saved[0], *COUNT, "--out", str(tmp_path / "file")], "name a folder"),
        ([saved[0], *COUNT, "--size", "8", "8", "--metrics", "ssim"], "11x11"),
        ([saved[1], *COUNT, "--size", "31", "32"], "multiples of 2"),
        ([str(tmp_path / "no" / "such"), *COUNT], "neither a folder here nor a hub id"),
        ([saved[0], "--data", "digits", "--metrics", "psnr"], "(B, 3, H, W)"),
    ):
        assert said in refused(capsys, *words), words
