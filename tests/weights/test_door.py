"""`load` by name, by file, by place on the hub; a local folder plays the hub, and nothing is downloaded."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

import nextset
from nextset import Model, UsageError
from nextset.family import Family, Published
from nextset.official import llamagen
from nextset.weights import families, load, load_tokenizer
from nextset.weights.door import identify
from nextset.weights.hub import digest, fetch

from .conftest import CODES, CONFIG, SMALL, Official

NETWORK, TOKENIZER = "someone/models:c2i_S.pt", "someone/models:deep/vq.pt"


@pytest.fixture
def hub(official: Official, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The official files at their places, and LlamaGen's small size published there. What is asked of the hub is noted."""
    asked: list[str] = []
    files = {NETWORK: official.network, TOKENIZER: official.tokenizer}

    def give(repo: str, path: str, revision: str | None = None) -> str:
        asked.append(f"{repo}:{path}@{revision}")
        if f"{repo}:{path}" not in files:
            raise LocalEntryNotFoundError("cannot find it while offline\nand more")
        target = tmp_path / "cache" / repo / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files[f"{repo}:{path}"], target)
        return str(target)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", give)
    published = {**llamagen.PUBLISHED, "small": Published(NETWORK, TOKENIZER)}
    patched = replace(llamagen.FAMILY, published=published)
    monkeypatch.setitem(families.known(), "llamagen", patched)
    sizes = nextset.catalogue.sizes("llamagen")
    monkeypatch.setattr(nextset.catalogue, "sizes", lambda name: {**sizes, "small": SMALL})
    assert isinstance(families.known()["llamagen"], Family)
    return asked


def same(one: Model, other: Model) -> bool:
    return one.system == other.system and all(
        torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items()
    )


def test_a_published_size(hub: list[str], official: Official) -> None:
    """Both files are fetched, each once."""
    assert same(load("llamagen/small"), official.model)
    assert hub == ["someone/models:c2i_S.pt@None", "someone/models:deep/vq.pt@None"]


def test_a_file_on_the_hub(hub: list[str], official: Official) -> None:
    """Its tokenizer comes with it; a revision is that of the file that was asked for."""
    assert same(load(NETWORK, revision="v2"), official.model)
    assert hub == ["someone/models:c2i_S.pt@v2", "someone/models:deep/vq.pt@None"]


def test_a_repository_of_one_generator(hub: list[str], official: Official) -> None:
    """Its name alone will do; one of ours, or of several, is looked up as before."""
    assert same(load("someone/models"), official.model)
    assert hub == ["someone/models:c2i_S.pt@None", "someone/models:deep/vq.pt@None"]


def test_what_is_known_of_the_files_is_kept(hub: list[str], official: Official, tmp_path: Path) -> None:
    """Family, names and SHA-256, saved with the model and read again."""
    model = load("llamagen/small")
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (official.network, official.tokenizer)]
    assert model.about["family"] == "llamagen/small"
    assert [found["sha256"] for found in model.about["origin"]] == expected
    assert [found["file"] for found in model.about["origin"]] == ["c2i_S.pt", "vq.pt"]
    again = load(model.save_pretrained(tmp_path / "saved"))
    assert again.about == model.about
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["family"] == "llamagen/small"


def test_the_hub_refuses(hub: list[str]) -> None:
    """Offline, or unknown: one sentence."""
    with pytest.raises(UsageError, match=r"c2i_B_256\.pt could not be had from the hub: cannot find it while offline$"):
        load("llamagen/b")
    with pytest.raises(UsageError, match=r"someone/else:x\.pt is not among the published files"):
        load("someone/else:x.pt")
    with pytest.raises(UsageError, match=r"someone/else:x\.pt could not be had"):
        load("someone/else:x.pt", name="llamagen", config=CONFIG)
    with pytest.raises(UsageError, match=r"no published weights of llamagen/xxxl; sizes that have some: b, l"):
        load("llamagen/xxxl")
    with pytest.raises(UsageError, match="no place on the hub"):
        fetch("someone/else")


def test_a_file_here(hub: list[str], official: Official, tmp_path: Path) -> None:
    """By its published name, with its tokenizer beside it under its own; nothing is asked of the hub."""
    shutil.copy(official.network, tmp_path / "c2i_S.pt")
    with pytest.warns(UserWarning, match=r"without its tokenizer.* put vq\.pt beside it"):
        alone = load(tmp_path / "c2i_S.pt")
    assert not alone.system.tokenizer.paints
    shutil.copy(official.tokenizer, tmp_path / "vq.pt")
    assert same(load(tmp_path / "c2i_S.pt"), official.model)
    assert hub == []


def test_a_file_of_any_name(official: Official) -> None:
    """Its tensors tell the family; where two have the same names, one must be named."""
    assert identify(official.tokenizer) == ("vq", "tokenizer")
    with pytest.raises(UsageError, match="could be of llamagen or next-patch; say which it is: name='llamagen'"):
        load(official.network)
    with pytest.warns(UserWarning, match="without its tokenizer"):
        model = load(official.network, name="llamagen", config=CONFIG)
    assert all(torch.equal(v, official.model.network.state_dict()[k]) for k, v in model.network.state_dict().items())


def test_a_file_of_nobody(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "x.pt")
    with pytest.raises(UsageError, match="is of no family that is known; say which it is"):
        load(tmp_path / "x.pt")


def test_a_tokenizer_is_no_model(official: Official) -> None:
    with pytest.raises(UsageError, match="is a tokenizer; use load_tokenizer"):
        load(official.tokenizer, config={"num_groups": CODES.groups})


def test_tokenizers(hub: list[str], official: Official) -> None:
    """Of a size on the hub, and of a folder of ours."""
    images = torch.rand(1, 3, 8, 8) * 2 - 1
    for source in ("llamagen/small", str(official.model.save_pretrained(official.network.parent / "own"))):
        spec, module = load_tokenizer(source)
        assert spec == CODES
        assert torch.equal(module.encode(images).data, official.model.encode(images).data)
    assert hub == ["someone/models:deep/vq.pt@None"]


def test_folders_of_ours_are_still_read(official: Official, tmp_path: Path) -> None:
    assert same(load(official.model.save_pretrained(tmp_path / "own")), official.model)


def test_digests(tmp_path: Path) -> None:
    """Large files in the hub's cache are links to files named by their digest, which are believed; of others it is computed."""
    (tmp_path / "plain").write_bytes(b"abc")
    assert digest(tmp_path / "plain") == hashlib.sha256(b"abc").hexdigest()
    name = "0" * 64
    (tmp_path / name).write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / name)
    assert digest(tmp_path / "link") == name
    shards = tmp_path / "shards"
    shards.mkdir()
    (shards / "a").write_bytes(b"abc")
    first = digest(shards)
    (shards / "b").write_bytes(b"abc")
    assert digest(shards) != first


def test_the_hub_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in huggingface_hub's own cache is found offline, through its own functions, and so with its settings."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit, home = "a" * 40, tmp_path / "models--someone--models"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    file = home / "snapshots" / commit / "deep" / "vq.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"abc")
    assert fetch(TOKENIZER).read_bytes() == b"abc"
    assert fetch("someone/models:deep").is_dir()
    with pytest.raises(UsageError, match=r"other\.pt could not be had from the hub"):
        fetch("someone/models:other.pt")
