"""`nextset convert`: a folder of ours from official files, and the files again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from nextset import UsageError, load
from nextset.cli import main
from nextset.folders import load_config
from nextset.weights import convert, convert_back

from .conftest import CONFIG, Official


def test_there_and_back(official: Official, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files in any order; the same model in between; the same tensors, under the same wrapper, at the end."""
    out, config = tmp_path / "ours", json.dumps(official.config)
    files = [str(official.tokenizer), str(official.network)]
    assert main(["convert", *files, "--to", str(out), "--name", "llamagen", "--config", config, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["family"] == load_config(out)["family"] == "llamagen"
    assert [one["file"] for one in said["origin"]] == ["gpt.pt", "tokens.pt"]
    assert torch.equal(load(out).generate(1, seed=2), official.model.generate(1, seed=2))

    assert main(["convert", str(out), "--back", "--to", str(tmp_path / "theirs"), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["out"]
    assert [Path(path).name for path in written] == ["llamagen.pt", "llamagen_tokenizer.pt"]
    for path, source in zip(written, (official.network, official.tokenizer), strict=True):
        found, expected = torch.load(path)["model"], torch.load(source)["model"]
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
        assert Path(path).stat().st_size < 2 * source.stat().st_size


def test_a_tokenizer_alone(official: Official, tmp_path: Path) -> None:
    """Known by its tensors."""
    folder = convert([official.tokenizer], tmp_path / "ours", config={"num_groups": 4})
    assert load_config(folder)["family"] == "vq"
    (path,) = convert_back(folder, tmp_path / "theirs")
    assert torch.load(path)["model"].keys() == torch.load(official.tokenizer)["model"].keys()


def test_the_generator_alone(official: Official, tmp_path: Path) -> None:
    """It comes back alone."""
    convert([official.network], tmp_path / "ours", "llamagen", CONFIG)
    (path,) = convert_back(tmp_path / "ours", tmp_path / "theirs")
    assert path.name == "llamagen.pt"


def test_nothing_is_overwritten(official: Official, tmp_path: Path) -> None:
    convert([official.network], tmp_path / "ours", "llamagen", CONFIG)
    with pytest.raises(UsageError, match="is not empty; choose another folder"):
        convert([official.network], tmp_path / "ours", "llamagen", CONFIG)
    convert_back(tmp_path / "ours", tmp_path / "theirs")
    with pytest.raises(UsageError, match=r"llamagen\.pt exists already"):
        convert_back(tmp_path / "ours", tmp_path / "theirs")


def test_a_refusal_leaves_nothing(official: Official, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="n_layer"):
        convert([official.network], tmp_path / "ours", "llamagen", CONFIG | {"n_layer": 9})
    assert not (tmp_path / "ours").exists()


def test_a_model_of_ours_needs_a_name(official: Official, tmp_path: Path) -> None:
    """Where it was never converted; then the official scripts can read what was trained here."""
    folder = official.model.save_pretrained(tmp_path / "own")
    with pytest.raises(UsageError, match="does not say from which family it came; say the name"):
        convert_back(folder, tmp_path / "theirs")
    network, tokenizer = convert_back(folder, tmp_path / "theirs", "llamagen")
    assert torch.load(network)["model"].keys() == official.state().keys()
    assert tokenizer.name == "llamagen_tokenizer.pt"


def test_a_published_size_gets_its_published_names(official: Official, tmp_path: Path) -> None:
    official.model.about = {"family": "llamagen/b"}
    folder = official.model.save_pretrained(tmp_path / "own")
    names = [path.name for path in convert_back(folder, tmp_path / "theirs")]
    assert names == ["c2i_B_256.pt", "vq_ds16_c2i.pt"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{network}", "{network}", "{tokenizer}", "--to", "x"], "give a generator, its tokenizer, or both, not 3"),
        (
            ["{network}", "{network}", "--to", "x", "--name", "llamagen"],
            "one must be a generator, the other its tokenizer",
        ),
        (["{network}", "--to", "x"], "could be of llamagen or next-patch"),
        (["{network}", "--to", "x", "--config", "[]"], "neither JSON nor a file of it"),
        (["{network}", "--to", "x", "--config", "{{1"], "neither JSON nor a file of it"),
        (["{network}", "--to", "x", "--back"], r"has no config\.json"),
        (["nowhere.pt", "--to", "x", "--name", "llamagen"], "there is no file nowhere.pt"),
    ],
)
def test_wrong_words(
    words: list[str], message: str, official: Official, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.format(network=official.network, tokenizer=official.tokenizer) for word in words]
    filled[filled.index("x")] = str(tmp_path / "x")
    assert main(["convert", *filled]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "x").exists()
