"""`nextset data check`, `nextset data encode` and `nextset data preview`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nextset import catalogue
from nextset.cli import main
from nextset.data.open import open_dataset
from nextset.data.tokens import TokenCache
from nextset.pretrained import load_tokenizer, save_tokenizer
from nextset.tokenizers.vq import VQ

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve pictures of noise in two classes."""
    rng = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "photos" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A saved model whose tokens are the digits' pixels."""
    return catalogue.spec("llamagen/digits").build().save_pretrained(tmp_path / "model")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A saved tokenizer of grey pictures, two pixels a site."""
    spec = VQ(16, 4, 8, (1, 2), blocks=1, latent=8, groups=4, channels=1)
    return save_tokenizer(tmp_path / "vq", spec, spec.build().state_dict())


def test_check_of_whole_pictures(photos: Path, capsys: Captured) -> None:
    assert main(["data", "check", str(photos)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith(f"{photos}: 12 pictures, 2 classes")
    assert told.out.splitlines()[-1].startswith("ready: ")
    assert main(["data", "check", str(photos), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["count"], found["per_class"]) == (True, 12, {"a": 6, "b": 6})


def test_check_of_a_truncated_picture(photos: Path, capsys: Captured) -> None:
    broken = photos / "a" / "2.png"
    broken.write_bytes(broken.read_bytes()[:300])
    assert main(["data", "check", str(photos)]) == 1
    told = capsys.readouterr()
    assert f"broken       {broken}: is damaged" in told.out
    assert "Traceback" not in told.err
    assert main(["data", "check", str(photos), "--json"]) == 1
    assert [name for name, _ in json.loads(capsys.readouterr().out)["broken"]] == [str(broken)]


def test_check_of_nothing(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "empty").mkdir()
    for source, word in {str(tmp_path / "empty"): "holds no pictures", "digit": "did you mean 'digits'?"}.items():
        assert main(["data", "check", source]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("nextset: ")
        assert word in told.err


def test_encode_with_the_tokenizer_of_a_model(model: Path, tmp_path: Path, capsys: Captured) -> None:
    words = ["data", "encode", "digits", "--tokenizer", str(model), "--out", str(tmp_path / "cache"), "--split", "test"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"out": str(tmp_path / "cache"), "pictures": 360, "size": [8, 8], "whole": True}
    cache, dataset = TokenCache(tmp_path / "cache"), open_dataset("digits", "test")
    tokens, labels, _ = cache.read([0, 359])
    levels = torch.from_numpy(np.stack([dataset[i].image for i in (0, 359)])).float() * 16 / 255
    assert torch.equal(tokens.data, levels.round().long().flatten(1))
    assert labels.tolist() == [dataset[0].label, dataset[359].label]


def test_encode_goes_on_where_it_was(model: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "cache"
    words = ["data", "encode", "digits", "--tokenizer", str(model), "--out", str(out), "--shard", "500"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"wrote {out}: the tokens of 1437 pictures of digits:train\n"
    before = {path: path.stat().st_mtime_ns for path in sorted(out.glob("*.safetensors"))}
    assert len(before) == 3
    (out / "00001.safetensors").unlink()
    assert main(words) == 0
    kept = [path.name for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert kept == ["00000.safetensors", "00002.safetensors"]
    assert main([*words[:-1], "400"]) == 2
    assert "differs in shard" in capsys.readouterr().err


def test_encode_is_shared_by_processes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    out = tmp_path / "cache"
    words = ["data", "encode", "digits", "--tokenizer", str(model), "--out", str(out), "--shard", "500"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("this process's share is done of ")
    assert [path.name for path in out.glob("*.safetensors")] == ["00001.safetensors"]
    monkeypatch.setenv("RANK", "0")
    assert main(words) == 0
    assert len(TokenCache(out)) == 1437
    monkeypatch.setenv("RANK", "2")
    assert main(words) == 2
    assert "RANK" in capsys.readouterr().err


def test_encode_with_a_tokenizer_of_its_own(tokenizer: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "cache"
    words = ["data", "encode", "digits", "--tokenizer", str(tokenizer), "--out", str(out), "--split", "test"]
    photos = tmp_path / "photos" / "cat"  # of any size, so somebody has to say one
    photos.mkdir(parents=True)
    Image.new("L", (9, 12)).save(photos / "a.png")
    assert main(["data", "encode", str(photos.parent), *words[3:], "--split", "all"]) == 2
    assert "give --size H W" in capsys.readouterr().err
    assert main([*words, "--size", "8", "7"]) == 2
    assert "multiples of 2" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--mirror"]) == 0  # digits are 8 x 8
    cache = TokenCache(out)
    assert (cache.layout.shape, cache.header.mirrored) == ((4, 4), True)
    spec, module = load_tokenizer(tokenizer)
    image = torch.from_numpy(open_dataset("digits", "test")[5].image.copy()).float().permute(2, 0, 1)[None] / 127.5 - 1
    assert torch.equal(cache.read([5])[0].data, module.encode(image).data)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tokenizer", "nowhere"], "neither a folder here nor a hub id"),
        (["--batch", "0"], "batch must be at least 1"),
        (["--shard", "0"], "shard >= 1"),
        (["--device", "abacus"], "device 'abacus' cannot be used here"),
    ],
)
def test_encode_refuses_what_cannot_work(
    words: list[str], told: str, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    given = ["data", "encode", "digits", "--tokenizer", str(model), "--out", str(tmp_path / "cache"), *words]
    assert main(given) == 2
    error = capsys.readouterr()
    assert error.out == ""
    assert told in error.err
    assert not (tmp_path / "cache").exists()


def test_a_damaged_model_is_a_failure(model: Path, tmp_path: Path, capsys: Captured) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    words = ["data", "encode", "digits", "--tokenizer", str(model), "--out", str(tmp_path / "cache")]
    assert main(words) == 1
    assert f"{weights} is damaged or cut short" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["image", "edit", "views", "voxels", "painting", "degraded", "text", "truth"])
def test_preview_of_the_world(kind: str, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / f"{kind}.png"
    assert main(["data", "preview", "shapes", "--kind", kind, "--out", str(out), "--count", "3", "--size", "32"]) == 0
    assert f"3 of shapes, kind {kind}" in capsys.readouterr().out
    page = np.asarray(Image.open(out).convert("RGB"))
    assert page.shape[0] > 128
    assert (page == 255).all(-1).mean() < 0.7  # there is more than paper
    assert len(np.unique(page.reshape(-1, 3), axis=0)) > 10


def test_preview_of_a_video(tmp_path: Path) -> None:
    out = tmp_path / "video.gif"
    words = ["--kind", "video", "--out", str(out), "--count", "2", "--size", "32"]
    assert main(["data", "preview", "shapes(most=1)", *words]) == 0
    with Image.open(out) as pages:
        assert getattr(pages, "n_frames", 1) == 24


def test_preview_of_other_data(photos: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "page.png"
    assert main(["data", "preview", str(photos), "--out", str(out), "--count", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "kind": "image", "items": 5}
    assert main(["data", "preview", "digits", "--out", str(out)]) == 0
    assert Image.open(out).size[0] > 500


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "--kind", "video", "--out", "x.gif"], "those of shapes"),
        (["digits", "--size", "64", "--out", "x.png"], "those of shapes"),
        (["shapes", "--kind", "video", "--out", "x.png"], "ends in .gif"),
        (["shapes", "--out", "x.png", "--count", "0"], "count >= 1"),
        (["shapes(most=9)", "--out", "x.png"], "most"),
        (["shapes", "--out", "x.png", "--size", "4"], "size >= 16"),
    ],
)
def test_wrong_previews_are_refused(words: list[str], said: str, capsys: Captured) -> None:
    assert main(["data", "preview", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.replace("\u2502", " ").split())
