"""`nextset evaluate` and `nextset compare-results`: what is measured, what the result says, what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nextset import Model, System
from nextset.cli import main
from nextset.conditions import Label, Unconditional
from nextset.data.digits import Digits
from nextset.data.loader import once
from nextset.decode import Constant
from nextset.evaluate import Moments, Result, save_folder, save_npz, trained
from nextset.tokenizers.pixel import Pixel
from tests.laws.toys import excite, tiny

Capture = pytest.CaptureFixture[str]

TINY = tiny("llamagen")
LABELLED = replace(TINY, tokenizer=Pixel(17), size=(8, 8), condition=Label(10), guidance=Constant())
FREE = replace(LABELLED, condition=Unconditional())


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Saves the model of a system whose weights are random but not large, once."""
    folder, known = tmp_path_factory.mktemp("checkpoints"), {}

    def save(system: System) -> str:
        if system not in known:
            torch.manual_seed(0)
            model = excite(system.build(), std=0.2)
            known[system] = str(model.save_pretrained(folder / str(len(known))))
        return known[system]

    return save


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Real digits and their labels."""
    (batch,) = once(Digits("train"), 1437, (8, 8), 1)
    return batch.images[:60], batch.labels[:60]


def judged(capsys: Capture, *words: str) -> dict[str, Any]:
    """The result of an evaluation."""
    assert main(["evaluate", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: Capture, *words: str) -> str:
    """What is said of wrong use."""
    assert main(list(words)) == 2
    return capsys.readouterr().err


def test_a_checkpoint_is_judged_by_all_that_applies(save: Any, tmp_path: Path, capsys: Capture) -> None:
    source, out = save(LABELLED), tmp_path / "result.json"
    words = ["--data", "digits", "--count", "40", "--seed", "3", "--guidance", "1.5", "--top-k", "9", "--out", str(out)]
    found = judged(capsys, source, *words)
    assert set(found["figures"]) == {"bits", "frechet", "kid", "precision", "recall", "accuracy"}
    protocol, about = found["protocol"], found["metadata"]
    assert (protocol["data"], protocol["samples"], protocol["seed"]) == ("digits:test", 40, 3)
    assert (protocol["guidance"], protocol["dtype"]) == ("Constant(scale=1.5)", "float32")
    assert protocol["sampling"] == "Pick(temperature=1, top_k=9, top_p=1)"
    assert protocol["extractor"].startswith("digits-cnn-v1:")
    assert "bits over 17 levels" in protocol["quantisation"]
    assert about["checkpoint"] == source
    assert about["system"] == str(LABELLED)
    assert about["date"].endswith("+00:00")
    assert Result.load(out).to_dict() == found
    again = judged(capsys, source, *words, "--batch", "7")
    assert again["id"] == found["id"]
    for name, figure in again["figures"].items():  # features of other batch sizes round differently, in float32
        assert figure["value"] == pytest.approx(found["figures"][name]["value"], rel=1e-4, abs=1e-4)


def test_figures_are_those_of_the_model(save: Any, capsys: Capture) -> None:
    model = Model.from_pretrained(save(LABELLED))
    (batch,) = once(Digits("test"), 360, (8, 8), 1)
    nats = model.log_prob(batch.images, batch.labels).double().mean()
    found = judged(capsys, save(LABELLED), "--data", "digits", "--metrics", "bits", "--batch", "100")
    assert found["figures"]["bits"]["value"] == pytest.approx(-float(nats) / (64 * math.log(2)), rel=1e-5)
    protocol = found["protocol"]
    assert (protocol["samples"], protocol["guidance"], protocol["extractor"]) == (
        0,
        "",
        "",
    )  # nothing is drawn or looked at
    extractor, labels = trained("digits"), Digits("test").stack(np.arange(0, 360, 18)).labels
    drawn = model.generate(labels.tolist(), seed=2)
    share = (extractor.logits(extractor.features(drawn)).argmax(1).numpy() == labels).mean()
    words = ["--data", "digits", "--metrics", "accuracy", "--count", "20", "--seed", "2"]
    assert judged(capsys, save(LABELLED), *words)["figures"]["accuracy"]["value"] == share


def test_bits_of_fewer_levels_are_another_protocol(save: Any, tmp_path: Path, capsys: Capture) -> None:
    for name, system in (("a", FREE), ("b", replace(FREE, tokenizer=Pixel(5)))):
        words = [
            "evaluate",
            save(system),
            "--data",
            "digits",
            "--metrics",
            "bits",
            "--out",
            str(tmp_path / f"{name}.json"),
        ]
        assert main(words) == 0
    assert "bits over 17 levels" in capsys.readouterr().out
    said = refused(capsys, "compare-results", str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert "cannot be compared: quantisation" in said


def test_models_without_classes_have_no_accuracy(save: Any, capsys: Capture) -> None:
    words = [save(FREE), "--data", "digits", "--extractor", "tiny-random", "--count", "20"]
    found = judged(capsys, *words)
    assert set(found["figures"]) == {"bits", "frechet", "kid", "precision", "recall"}
    assert any("not comparable" in warning for warning in found["warnings"])
    assert "accuracy of checkpoint" in refused(capsys, "evaluate", *words, "--metrics", "accuracy")


def test_bits_are_left_out_where_tokens_are_no_pixels(save: Any, capsys: Capture) -> None:
    from nextset.tokenizers.vq import VQ

    coded = replace(
        LABELLED, tokenizer=VQ(16, 4, channels=1, width=8, multipliers=(1, 1), blocks=1, latent=8, groups=4)
    )
    words = [save(coded), "--data", "digits", "--extractor", "tiny-random", "--count", "8"]
    assert "bits" not in judged(capsys, *words)["figures"]
    assert "bits of checkpoint" in refused(capsys, "evaluate", *words, "--metrics", "bits")


@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_samples_in_files(tmp_path: Path, digits: Any, kind: str, capsys: Capture) -> None:
    path = tmp_path / ("x" if kind == "folder" else "x.npz")
    (save_folder if kind == "folder" else save_npz)(digits[0], path, digits[1])
    found = judged(capsys, str(path), "--data", "digits")
    assert set(found["figures"]) == {"frechet", "kid", "precision", "recall", "accuracy"}
    assert found["figures"]["accuracy"]["value"] > 0.95
    assert (found["protocol"]["samples"], found["protocol"]["guidance"]) == (60, "")  # nobody said how they were drawn
    assert found["metadata"]["samples"] == str(path)


def test_samples_bring_their_settings(save: Any, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "x.npz"
    words = ["sample", save(LABELLED), "--out", str(path), "--count", "20", "--seed", "8", "--guidance", "2"]
    options = ["--dtype", "bfloat16", "--quantize", "int8", "--cache", "window:4+1"]
    assert main([*words, "--schedule", "linear", *options]) == 0
    capsys.readouterr()
    found = judged(capsys, str(path), "--data", "digits", "--metrics", "accuracy")
    protocol = found["protocol"]
    assert (protocol["seed"], protocol["balance"], protocol["dtype"]) == (
        8,
        "uniform",
        "bfloat16 int8 cache window:4+1",
    )
    assert protocol["guidance"] == "Linear(scale=2, start=1)"
    assert "guidance is for drawing" in refused(capsys, "evaluate", str(path), "--data", "digits", "--guidance", "3")
    save_npz(torch.zeros(9, 1, 8, 8), path.with_name("ref.npz"))
    reference = ["--data", str(path.with_name("ref.npz")), "--extractor", "digits", "--metrics", "kid"]
    assert judged(capsys, str(path), *reference)["protocol"]["balance"] == "uniform"
    save_npz(torch.zeros(19, 1, 8, 8), path, torch.zeros(19, dtype=torch.int64))
    assert "holds 19 of the 20 pictures of its job" in refused(capsys, "evaluate", str(path), "--data", "digits")


def test_photos_need_an_extractor(save: Any, tmp_path: Path, digits: Any, capsys: Capture) -> None:
    for i in range(12):
        picture = Image.fromarray(np.uint8(127.5 * (digits[0][i, 0].numpy() + 1))).resize((20, 16))
        (tmp_path / "photos" / "test" / str(i % 10)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / "train" / str(i % 10)).mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / "photos" / "test" / str(i % 10) / f"{i}.png")
        picture.save(tmp_path / "photos" / "train" / str(i % 10) / f"{i}.png")
    words = [save(LABELLED), "--data", str(tmp_path / "photos"), "--count", "10"]
    said = refused(capsys, "evaluate", *words)
    assert "give --extractor digits, shapes, tiny-random or inception, or --metrics bits" in said
    found = judged(capsys, *words, "--extractor", "digits")
    assert found["protocol"]["size"] == [8, 8]  # pictures of the data are cropped to the model's size
    assert "accuracy" in found["figures"]


def test_reference_files_bring_pictures_and_moments(tmp_path: Path, digits: Any, capsys: Capture) -> None:
    images, labels = digits
    save_npz(images[:30], tmp_path / "samples.npz", labels[:30])
    save_npz(images[30:], tmp_path / "ref.npz", labels[30:])
    words = [str(tmp_path / "samples.npz"), "--data", str(tmp_path / "ref.npz"), "--extractor", "digits"]
    found = judged(capsys, *words, "--metrics", "frechet", "inception-score", "density-coverage")
    assert set(found["figures"]) == {"frechet", "inception-score", "density", "coverage"}
    assert (found["protocol"]["data"], found["protocol"]["reference"]) == ("ref.npz", 30)
    assert found["protocol"]["statistics"] == ""
    extractor, moments = trained("digits"), Moments(64)
    moments.add(extractor.features(images[30:]))
    moments.save(tmp_path / "moments.npz")
    by_file = judged(capsys, *words, "--metrics", "frechet", "--statistics", str(tmp_path / "moments.npz"))
    assert by_file["figures"]["frechet"]["value"] == pytest.approx(found["figures"]["frechet"]["value"], rel=1e-4)
    assert by_file["protocol"]["statistics"] == Moments.load(tmp_path / "moments.npz").identity


@pytest.mark.parametrize(
    ("system", "words", "said"),
    [
        (TINY, [], "has 4x4 grey pictures, data digits:test 8x8 grey ones"),
        (replace(LABELLED, tokenizer=Pixel(5, 3)), [], "has 8x8 RGB pictures, data digits:test 8x8 grey ones"),
        (replace(LABELLED, condition=Label(3)), [], "knows 3 classes, data digits:test has 10"),
        (LABELLED, ["--extractor", "shapes"], "extractor shapes takes 32x32 RGB pictures, checkpoint"),
        (LABELLED, ["--metrics", "grade"], "needs the data shapes"),
        (LABELLED, ["--metrics", "sfid"], "give --extractor inception"),
        (LABELLED, ["--extractor", "tiny-random", "--metrics", "inception-score"], "an extractor that classifies"),
        (LABELLED, ["--extractor", "tiny-randon"], "did you mean 'tiny-random'"),
        (LABELLED, ["--extractor", "missing.pth"], "there is no file missing.pth"),
        (LABELLED, ["--statistics", "missing.npz"], "missing.npz does not exist"),
        (LABELLED, ["--metrics", "kid", "--count", "1"], "at least 2 samples"),
        (FREE, ["--guidance", "3"], "guidance 3 needs a condition"),
    ],
)
def test_what_does_not_fit_is_refused(save: Any, system: System, words: list[str], said: str, capsys: Capture) -> None:
    assert said in refused(capsys, "evaluate", save(system), "--data", "digits", *words)


def test_wrong_options_are_refused_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(Model, "from_pretrained", None)
    missing = str(tmp_path / "no" / "such")
    assert "count must be at least 1" in refused(capsys, "evaluate", missing, "--data", "digits", "--count", "0")
    assert "is a folder; name a file" in refused(
        capsys, "evaluate", missing, "--data", "digits", "--out", str(tmp_path)
    )
    assert "did you mean 'digits'" in refused(capsys, "evaluate", missing, "--data", "digit")
    assert "say which checkpoint or samples first" in refused(capsys, "evaluate", "--data", "digits")
    assert "holds no PNG files" in refused(capsys, "evaluate", str(tmp_path), "--data", "digits")
    save_npz(torch.zeros(3, 3, 8, 8), tmp_path / "x.npz")
    said = refused(capsys, "evaluate", str(tmp_path / "x.npz"), "--data", "digits")
    assert "x.npz has 8x8 RGB pictures, data digits:test 8x8 grey ones" in said
    save_npz(torch.zeros(3, 1, 8, 8), tmp_path / "y.npz", torch.tensor([0, 12, 3]))
    assert "has the label 12" in refused(capsys, "evaluate", str(tmp_path / "y.npz"), "--data", "digits")


def test_results_side_by_side(save: Any, tmp_path: Path, capsys: Capture) -> None:
    paths = [str(tmp_path / f"{name}.json") for name in "abc"]
    other = replace(LABELLED, condition=Label(10, std=0.5))
    for path, system, count in ((paths[0], LABELLED, "30"), (paths[1], other, "30"), (paths[2], other, "31")):
        words = ["--data", "digits", "--metrics", "bits", "accuracy", "--count", count, "--out", path]
        assert main(["evaluate", save(system), *words]) == 0
    capsys.readouterr()
    assert main(["compare-results", paths[0], paths[1]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["figure", "A", "B"]
    assert [line.split()[0] for line in lines[1:]] == ["bits", "accuracy"]
    assert main(["compare-results", *paths[:2], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    left, right = (Result.load(path).figures["bits"].value for path in paths[:2])
    assert found[0]["delta"] == right - left
    assert found[0]["better"] == ("B" if right < left else "A" if left < right else "equal")
    assert "cannot be compared: samples 30 vs 31" in refused(capsys, "compare-results", *paths[1:])
    assert "say which second result first" in refused(capsys, "compare-results", paths[0])
    assert "does not exist" in refused(capsys, "compare-results", paths[0], "nothing.json")
    Path(paths[1]).write_text("{")
    assert main(["compare-results", *paths[:2]]) == 1
    assert "b.json is damaged" in capsys.readouterr().err
