"""Folders and key maps: what is written comes back, and what is broken says so."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
from safetensors.torch import load_file

import nextset
from nextset import Model, NextsetError, UsageError
from nextset.backbones import Llama
from nextset.folders import CONFIG, WEIGHTS, load_exactly, save_tensors
from nextset.mixers import Attention
from tests.laws.toys import BASE, lively


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved model."""
    return lively(BASE).save_pretrained(tmp_path / "model")


def edit(path: Path, **changes: Any) -> None:
    """Other values in a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# folders


def test_round_trip(folder: Path) -> None:
    """Weights to the bit, in evaluation mode, the tokenizer frozen and the network not."""
    before, after = lively(BASE).state_dict(), nextset.load(folder)
    assert after.system == BASE
    assert after.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in after.state_dict().items())
    assert not after.training
    assert all(p.requires_grad for p in after.network.parameters())
    assert not any(p.requires_grad for p in after.tokenizer.parameters())


def test_half_precision_stays(tmp_path: Path) -> None:
    model = lively(BASE).to(torch.bfloat16)
    again = nextset.load(str(model.save_pretrained(tmp_path / "model")))
    assert {value.dtype for value in again.state_dict().values()} == {torch.bfloat16}


def test_other_weights_can_be_saved(tmp_path: Path) -> None:
    """Averaged ones, in place of the model's own."""
    model = lively(BASE)
    folder = model.save_pretrained(tmp_path / "model", {k: v * 0 for k, v in model.state_dict().items()})
    assert all((value == 0).all() for value in nextset.load(folder).state_dict().values())


def test_saving_again_replaces_the_weights_and_keeps_the_card(folder: Path) -> None:
    (folder / "README.md").write_text("my own words")
    lively(BASE).save_pretrained(folder, {k: v * 0 for k, v in lively(BASE).state_dict().items()})
    assert (folder / "README.md").read_text() == "my own words"
    assert all((value == 0).all() for value in load_file(folder / WEIGHTS).values())


def test_the_card_shows_the_system(folder: Path) -> None:
    assert str(BASE) in (folder / "README.md").read_text()


def test_the_config_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose saving broke off is no model, rather than half a one."""

    def full(*args: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("nextset.folders.save_file", full)
    with pytest.raises(NextsetError, match=r"model\.safetensors could not be written .*No space left"):
        lively(BASE).save_pretrained(tmp_path / "model")
    assert not list((tmp_path / "model").iterdir())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_weights(folder: Path, share: float) -> None:
    path = folder / WEIGHTS
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(NextsetError, match=r"model\.safetensors is damaged or cut short"):
        nextset.load(folder)


def test_missing_files(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).rename(tmp_path / "elsewhere")
    with pytest.raises(NextsetError, match=r"model\.safetensors is missing"):
        nextset.load(folder)
    (folder / CONFIG).unlink()
    with pytest.raises(UsageError, match=r"has no config\.json"):
        nextset.load(folder)
    with pytest.raises(UsageError, match="is a file; give the folder"):
        Model.from_pretrained(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="neither a folder here nor a hub id"):
        nextset.load(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_broken_configs(folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(NextsetError, match=r"config\.json is not readable JSON"):
        nextset.load(folder)


def test_a_newer_format(folder: Path) -> None:
    edit(folder / CONFIG, nextset=99)
    with pytest.raises(UsageError, match=r"written by a newer nextset \(format 99\); upgrade"):
        nextset.load(folder)


def test_a_folder_without_a_model(folder: Path) -> None:
    (folder / CONFIG).write_text('{"nextset": 1}')
    with pytest.raises(UsageError, match="holds no model"):
        nextset.load(folder)


def test_weights_of_another_system(folder: Path) -> None:
    """What is missing, what is too much, what has another shape: a few names of each."""
    other = replace(BASE, backbone=Llama(16, 3, Attention(2), hidden_multiple=64))
    edit(folder / CONFIG, system=other.to_dict())
    with pytest.raises(
        UsageError, match=r"model does not fit this model: 6 missing \(.*blocks\.2.* more\); 4 misshapen"
    ):
        nextset.load(folder)
    smaller = replace(BASE, backbone=Llama(16, 1, Attention(2), hidden_multiple=16))
    edit(folder / CONFIG, system=smaller.to_dict())
    with pytest.raises(UsageError, match=r"6 unexpected \(network\.backbone\.blocks\.1"):
        nextset.load(folder)


def test_a_misfit_loads_nothing() -> None:
    model = lively(BASE)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    wrong = {k: v * 0 for k, v in before.items()} | {"more": torch.zeros(1)}
    with pytest.raises(UsageError, match=r"here does not fit this model: 1 unexpected \(more\)"):
        load_exactly(model, wrong, "here")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_nothing_is_unpickled(folder: Path, tmp_path: Path) -> None:
    """A pickle in the place of the weights is a damaged file, and is not run."""
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    (folder / WEIGHTS).write_bytes(bomb)
    with pytest.raises(NextsetError, match="damaged"):
        nextset.load(folder)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists(), "the test would not have noticed"


# the hub


class FakeApi:
    """Notes what it is asked to upload."""

    uploads: list[tuple[str, dict[str, bytes]]] = []
    created: list[tuple[str, bool]] = []
    error: Exception | None = None

    def __init__(self, token: str | None = None) -> None:
        self.token = token

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        """As the hub does."""
        assert exist_ok
        if self.error:
            raise self.error
        self.created.append((repo, private))

    def upload_folder(self, *, repo_id: str, folder_path: Path) -> str:
        """Reads the folder while it exists."""
        self.uploads.append((repo_id, {p.name: p.read_bytes() for p in Path(folder_path).iterdir()}))
        return f"https://hub/{repo_id}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeApi]:
    """A hub that takes everything."""
    monkeypatch.setattr(FakeApi, "uploads", [])
    monkeypatch.setattr(FakeApi, "created", [])
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    return FakeApi


def test_push_uploads_what_is_saved(hub: type[FakeApi], folder: Path, tmp_path: Path) -> None:
    """The same files as `save_pretrained` writes, which load as the same model."""
    address = lively(BASE).push_to_hub("me/mine", private=True, token="secret")
    assert address == "https://hub/me/mine"
    assert hub.created == [("me/mine", True)]
    ((repo, files),) = hub.uploads
    assert repo == "me/mine"
    assert files == {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (HFValidationError("bad"), UsageError, "repo must be a hub id of the form owner/name, got 'me/mine'"),
        (OfflineModeIsEnabled("offline"), NextsetError, r"the hub did not take me/mine \(offline\); log in"),
    ],
)
def test_push_says_what_went_wrong(
    hub: type[FakeApi], monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception], message: str
) -> None:
    monkeypatch.setattr(hub, "error", error)
    with pytest.raises(expected, match=message):
        lively(BASE).push_to_hub("me/mine")


@pytest.mark.parametrize("source", ["nobody/nothing-at-all", "a/b--c"])
def test_what_the_hub_does_not_have(source: str) -> None:
    with pytest.raises(UsageError, match=f"'{source}' is no folder here and could not be had from the hub"):
        nextset.load(source)


def test_load_from_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot of the revision asked for, with no file but the three."""
    asked: list[dict[str, Any]] = []

    def snapshot(repo: str, **options: Any) -> str:
        asked.append({"repo": repo, **options})
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    model = Model.from_pretrained("me/mine", revision="v2")
    assert model.system == BASE
    assert asked == [
        {"repo": "me/mine", "revision": "v2", "allow_patterns": ["config.json", "model.safetensors", "README.md"]}
    ]


def test_tensors_of_any_stride_are_saved(tmp_path: Path) -> None:
    value = torch.arange(6.0).view(2, 3)
    save_tensors(tmp_path / "t.safetensors", {"t": value.T, "s": value[:, 1].requires_grad_()})
    assert torch.equal(load_file(tmp_path / "t.safetensors")["t"], value.T)
