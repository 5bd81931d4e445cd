"""Files in an official layout: what fits becomes the same model, and what does not is refused in one sentence, with nothing loaded."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import nextset
from nextset import Model, NextsetError, UsageError, load_official
from nextset.decode import Pick
from nextset.tokenizers.vq import VQModule
from nextset.weights.families import known, named

from .conftest import CODES, CONFIG, Official

WO = "layers.0.attention.wo.weight"


def same(one: Model, other: Model) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


def test_both_files(official: Official) -> None:
    """The same system, the same weights, the same pictures."""
    model = load_official("llamagen", official.files, official.config)
    assert isinstance(model, Model)
    assert model.system == official.model.system
    same(model, official.model)
    assert not model.training
    assert torch.equal(model.generate([0, 1], seed=1), official.model.generate([0, 1], seed=1))


def test_the_generator_alone(official: Official) -> None:
    """Its tokens, and no pictures; a flat config is the generator's."""
    model = load_official("llamagen", official.network, CONFIG)
    assert isinstance(model, Model)
    greedy = Pick(temperature=0)
    ids = [list(m.stream(1, pick=greedy))[-1].decoding.tokens.data for m in (model, official.model)]
    assert torch.equal(*ids)
    with pytest.raises(UsageError, match="loaded without its tokenizer"):
        model.generate(1)


@pytest.mark.parametrize("name", ["vq", "VQ", "llamagen_vq16"])
def test_a_tokenizer_alone(official: Official, name: str) -> None:
    module = load_official(name, official.tokenizer, {"num_groups": CODES.groups})
    assert isinstance(module, VQModule)
    assert module.spec == CODES
    by_generator = load_official("llamagen", {"tokenizer": official.tokenizer}, {"num_groups": CODES.groups})
    images = torch.rand(1, 3, 8, 8) * 2 - 1
    for found in (module, by_generator):
        assert isinstance(found, VQModule)
        assert torch.equal(found.encode(images).data, official.model.encode(images).data)


def test_safetensors_and_half_precision(official: Official, tmp_path: Path) -> None:
    """Half precision on disk becomes the precision of the model."""
    half = {key: value.half() for key, value in official.state().items()}
    save_file(half, tmp_path / "gpt.safetensors")
    model = load_official("llamagen", tmp_path / "gpt.safetensors", CONFIG)
    assert isinstance(model, Model)
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert torch.equal(model.network.wiring.embed.weight, half["tok_embeddings.weight"].float())


# what is asked for, and what is refused


@pytest.mark.parametrize("lacking", ["n_head", "block_size"])
def test_what_shapes_do_not_show_is_asked_for_by_name(official: Official, lacking: str) -> None:
    given = {key: value for key, value in CONFIG.items() if key != lacking}
    with pytest.raises(UsageError, match=rf"do not show {lacking} .*config=\{{'{lacking}': \.\.\.\}}"):
        load_official("llamagen", official.network, given)


def test_of_two_files_it_says_whose_it_is(official: Official) -> None:
    """A flat config is the generator's, so what the tokenizer lacks is asked for in its own part."""
    with pytest.raises(UsageError, match=r"config=\{'tokenizer': \{'num_groups': \.\.\.\}\}"):
        load_official("llamagen", official.files, CONFIG)
    with pytest.raises(UsageError, match=r"config=\{'network': \{'n_head': \.\.\.\}\}"):
        load_official("llamagen", official.files, {"tokenizer": {"num_groups": CODES.groups}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layer": 3}, r"config says n_layer=3, but the tensors of .*gpt\.pt say 2"),
        ({"vocab_size": 17}, r"config says vocab_size=17, but .* say 16"),
        ({"num_classes": 1000}, r"config says num_classes=1000, but .* say 3"),
        ({"n_head": 3}, r"n_head=3 and n_kv_head=3 do not fit"),
        ({"block_size": 15}, r"block_size=15 is no square"),
        ({"drop_path_rate": 0.1}, r"drop_path_rate=0\.1 has no counterpart here; only 0\.0 has"),
    ],
)
def test_a_config_that_contradicts(official: Official, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_official("llamagen", official.network, CONFIG | change)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({WO: None}, rf"gpt\.pt does not fit: 1 missing \({re.escape(WO)}\)"),
        ({"layers.1.attention.wqkv.weight": None}, r"1 missing \(layers\.1\.attention\.wqkv\.weight\)"),
        ({"freqs": torch.zeros(2)}, r"1 unexpected \(freqs\)"),
        (
            {"output.weight": torch.zeros(16, 16).T[:, :15]},
            r"1 misshapen \(output\.weight is \(16, 15\), not \(16, 16\)\)",
        ),
        (
            {"layers.0.feed_forward.w2.weight": torch.zeros(48, 16)},
            r"1 misshapen \(layers\.0\.feed_forward\.w2\.weight is \(48, 16\), not \(16, 48\)\)",
        ),
        (
            {"layers.0.feed_forward.w3.weight": torch.zeros(16, 48)},
            r"1 misshapen \(layers\.0\.feed_forward\.w3\.weight",
        ),
        (
            {"tok_embeddings.weight": None},
            r"has no tensor tok_embeddings\.weight: it is incomplete, or of another family",
        ),
    ],
)
def test_tensors_that_do_not_fit(official: Official, changes: dict[str, Any], message: str) -> None:
    """Each in the official names; two tensors that are joined here do not hide which of them is wrong."""
    official.rewrite(**changes)
    with pytest.raises(UsageError, match=message):
        load_official("llamagen", official.network, CONFIG)


def test_a_gap_between_layers(official: Official) -> None:
    official.rewrite(**{key: None for key in official.state() if key.startswith("layers.0.")})
    with pytest.raises(UsageError, match=r"incomplete: it has no layers\.0\.\*, but later ones"):
        load_official("llamagen", official.network, CONFIG)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_is_named(official: Official, bad: float) -> None:
    half = {key: value.half() for key, value in official.state().items()}
    half[WO][0, 0] = bad
    official.rewrite(**half)
    with pytest.raises(NextsetError, match=rf"{re.escape(WO)} holds NaN or infinity"):
        load_official("llamagen", official.network, CONFIG)


def test_a_tokenizer_that_does_not_belong(official: Official, tmp_path: Path) -> None:
    """Another count of codes."""
    state = {**torch.load(official.tokenizer)["model"], "quantize.embedding.weight": torch.randn(17, 4)}
    torch.save(state, official.tokenizer)
    with pytest.raises(UsageError, match=r"does not belong to the generator in .*17.*those of the generator .*16"):
        load_official("llamagen", official.files, official.config)


def test_a_family_that_it_is_not_of(official: Official) -> None:
    with pytest.raises(UsageError, match=r"1 missing \(spe_tok|has no tensor spe_tok_embeddings"):
        load_official("par", official.network, CONFIG)
    with pytest.raises(UsageError, match="has no tensor quantize.embedding.weight"):
        load_official("vq", official.network)


def test_a_size_that_it_is_not_of(official: Official) -> None:
    with pytest.raises(UsageError, match=r"gpt\.pt does not fit: \d+ missing .* misshapen"):
        load_official("llamagen/b", official.network)
    with pytest.raises(UsageError, match="names a size, which says all that config could"):
        load_official("llamagen/b", official.network, CONFIG)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_truncated(official: Official, share: float) -> None:
    os.truncate(official.network, int(official.network.stat().st_size * share))
    with pytest.raises(NextsetError, match=r"gpt\.pt is damaged"):
        load_official("llamagen", official.network, CONFIG)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_nothing_is_executed(official: Official, tmp_path: Path) -> None:
    torch.save({"model": official.state(), "args": Bomb(tmp_path / "exploded")}, official.network)
    with pytest.raises(UsageError, match="holds more than tensors"):
        load_official("llamagen", official.network, CONFIG)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert (tmp_path / "exploded").exists(), "the test would not have noticed"


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("lamagen", "x.pt", "no official weights of 'lamagen'; did you mean 'llamagen'"),
        ("llamagen/bb", "x.pt", "has no size 'bb'"),
        ("vq/17", "x.pt", "'vq' has no size '17'"),
        ("llamagen", "nowhere.pt", "there is no file nowhere.pt"),
        ("llamagen", {"vae": "x.pt"}, "llamagen has no 'vae'"),
        ("vq", {"network": "x.pt"}, "vq has no 'network'; did you mean|vq has no 'network'"),
        ("llamagen", {}, "files is empty"),
    ],
)
def test_wrong_words(name: str, files: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_official(name, files)


def test_every_family_is_found_by_its_name() -> None:
    assert {"llamagen", "vq", "randar", "par", "nar", "arpg"} <= known().keys()
    for name in known():
        assert named(name).name == name
        assert named(name.replace("-", "_").upper()).name == name
    assert nextset.load_official is load_official
