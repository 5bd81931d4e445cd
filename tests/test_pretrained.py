"""Tokenizers on disk: folders of their own, and the one inside a model's folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nextset import NextsetError, UsageError, catalogue
from nextset.pretrained import load_tokenizer, save_tokenizer
from nextset.tokenizers.base import TokenizerModule
from nextset.tokenizers.vq import VQ

SPEC = VQ(16, 4, 8, (1, 2), blocks=1, latent=8, groups=4, channels=1)


@pytest.fixture
def module() -> TokenizerModule:
    return SPEC.build().eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_tokenizer_comes_back(module: TokenizerModule, images: torch.Tensor, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    spec, again = load_tokenizer(save_tokenizer(tmp_path / "vq", SPEC, module.state_dict()))
    assert spec == SPEC
    assert torch.equal(again.encode(images).data, module.encode(images).data)
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    assert torch.equal(torch.get_rng_state(), before)  # loading makes no fresh weights


def test_the_folder_describes_itself(module: TokenizerModule, tmp_path: Path) -> None:
    folder = save_tokenizer(tmp_path / "vq", SPEC, module.state_dict())
    assert json.loads((folder / "config.json").read_text()) == {"nextset": 1, "tokenizer": SPEC.to_dict()}
    stored = load_file(folder / "model.safetensors")
    assert stored.keys() == module.state_dict().keys()
    assert "VQ(vocab=16" in (folder / "README.md").read_text()


def test_a_model_gives_its_tokenizer(images: torch.Tensor, tmp_path: Path) -> None:
    system = dataclasses.replace(catalogue.spec("llamagen/tiny"), tokenizer=SPEC, size=(8, 8))
    model = system.build()
    spec, module = load_tokenizer(model.save_pretrained(tmp_path / "model"))
    assert spec == SPEC
    assert torch.equal(module.encode(images).data, model.encode(images).data)


def test_a_tokenizer_without_weights_comes_back(tmp_path: Path) -> None:
    system = catalogue.spec("llamagen/tiny")
    spec, module = load_tokenizer(system.build().save_pretrained(tmp_path / "model"))
    assert spec == system.tokenizer
    assert module.state_dict() == {}
    again, _ = load_tokenizer(save_tokenizer(tmp_path / "pixel", spec, module.state_dict()))
    assert again == spec


def test_other_weights_than_the_config_says(module: TokenizerModule, tmp_path: Path) -> None:
    wider = dataclasses.replace(SPEC, width=16)
    with pytest.raises(UsageError, match=f"{tmp_path}.* does not fit this model"):
        load_tokenizer(save_tokenizer(tmp_path / "vq", wider, module.state_dict()))


@pytest.mark.parametrize(
    "config",
    [
        {"nextset": 1},
        {"nextset": 1, "tokenizer": {"type": "orders.raster.Raster"}},
        {"nextset": 1, "tokenizer": {"type": "tokenizers.vq.VQ", "vocabulary": 4}},
        {"nextset": 1, "tokenizer": 4},
        {"nextset": 1, "system": {"type": "system.System"}},
        {"nextset": 1, "system": []},
    ],
)
def test_a_folder_of_something_else(config: dict[str, object], module: TokenizerModule, tmp_path: Path) -> None:
    folder = save_tokenizer(tmp_path / "vq", SPEC, module.state_dict())
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError):
        load_tokenizer(folder)


def test_a_damaged_folder(module: TokenizerModule, tmp_path: Path) -> None:
    folder = save_tokenizer(tmp_path / "vq", SPEC, module.state_dict())
    (folder / "model.safetensors").write_bytes(b"\x08\x00")
    with pytest.raises(NextsetError, match="damaged"):
        load_tokenizer(folder)
    with pytest.raises(UsageError, match=r"no config\.json"):
        load_tokenizer(tmp_path)
