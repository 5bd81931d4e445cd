"""Files as users have them: wrapped, prefixed, in shards, half downloaded, or with code inside."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from nextset.checkpoints import read_checkpoint
from nextset.errors import NextsetError, UsageError

STATE = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.ones(2, dtype=torch.float16)}
OTHER = {"layer.weight": torch.zeros(2, 3), "layer.bias": torch.zeros(2)}


def same(found: dict[str, Any]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[key], value) for key, value in STATE.items())


def prefixed(prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in STATE.items()}


@pytest.mark.parametrize(
    "data",
    [
        STATE,
        {"model": STATE},
        {"state_dict": prefixed("module.")},
        {"model": OTHER, "ema": prefixed("_orig_mod."), "epoch": 3},
        {"model": OTHER, "model_ema": STATE, "args": argparse.Namespace(lr=1e-4), "optimizer": {"state": {}}},
        {"epoch": 1, "trainer": {"var_wo_ddp": prefixed("module._orig_mod."), "vae_local": OTHER, "config": {}}},
        {"trainer": {"gpt_fsdp": prefixed("_orig_mod."), "gpt_ema_fsdp": OTHER}},
        {"model": {"model": STATE}},
    ],
    ids=lambda data: "/".join(list(data)[:2]),
)
def test_wrappers_come_off(data: dict[str, Any], tmp_path: Path) -> None:
    torch.save(data, tmp_path / "c.pth")
    assert same(read_checkpoint(tmp_path / "c.pth"))


def test_the_tokenizer_of_a_trainer(tmp_path: Path) -> None:
    torch.save({"trainer": {"vae_local": STATE, "var_wo_ddp": OTHER}}, tmp_path / "c.pth")
    assert same(read_checkpoint(tmp_path / "c.pth", "tokenizer"))


def test_old_files_without_zip(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    assert same(read_checkpoint(tmp_path / "c.pt"))


def test_folders(tmp_path: Path) -> None:
    """One file, or shards with an index; a missing shard is named."""
    save_file(STATE, tmp_path / "model.safetensors")
    assert same(read_checkpoint(tmp_path))
    (tmp_path / "shards").mkdir()
    for number, key in enumerate(STATE):
        save_file({key: STATE[key]}, tmp_path / "shards" / f"model-{number}.safetensors")
    index = {"weight_map": {key: f"model-{number}.safetensors" for number, key in enumerate(STATE)}}
    (tmp_path / "shards" / "model.safetensors.index.json").write_text(json.dumps(index))
    assert same(read_checkpoint(tmp_path / "shards"))
    (tmp_path / "shards" / "model-1.safetensors").unlink()
    with pytest.raises(NextsetError, match=r"lacks the shards model-1\.safetensors"):
        read_checkpoint(tmp_path / "shards")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="found none"):
        read_checkpoint(tmp_path / "empty")


class Bomb:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_executed(tmp_path: Path) -> None:
    written = tmp_path / "written"
    torch.save({"model": STATE, "extra": Bomb(written)}, tmp_path / "bomb.pt")
    with pytest.raises(UsageError, match="would run code"):
        read_checkpoint(tmp_path / "bomb.pt")
    assert not written.exists()
    torch.load(tmp_path / "bomb.pt", weights_only=False)
    assert written.exists(), "the bomb is a dud"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["c.pth", "c.safetensors"])
def test_files_cut_short(name: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / name
    save_file(STATE, path) if name.endswith("safetensors") else torch.save(STATE, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(NextsetError, match="damaged"):
        read_checkpoint(path)


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_text("not found: please log in")
    with pytest.raises(NextsetError, match="damaged"):
        read_checkpoint(tmp_path / "c.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    for name, said in (
        ("list.pt", "holds a list"),
        ("empty.pt", "it holds epoch"),
        ("none.pt", "no file"),
        ("a.tar.gz", "no file"),
    ):
        with pytest.raises(UsageError, match=said):
            read_checkpoint(tmp_path / name)
