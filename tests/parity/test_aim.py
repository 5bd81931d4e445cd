"""AiM against recorded outputs of the official code, and its key maps against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, scales and filters come from them. Tolerances from the README: 1e-4
for logits, 5e-5 for the mixer and for pixels, ids exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, Pick, Tokens, UsageError
from nextset.decode.pick import keep_top_k, keep_top_p
from nextset.family import Arguments
from nextset.mixers import Context
from nextset.mixers.mamba2 import Recurrence
from nextset.official import vq
from nextset.official.aim import FAMILY, KEYS, PUBLISHED, coding
from nextset.slots import Mask
from nextset.systems.aim import SIZES
from nextset.weights import load_official

from .recordings import Recorder, Recordings, assert_published, assert_read, near

RECORDED = Recordings("aim")
FILE = RECORDED.folder / "weights_aim.safetensors"
pytestmark = RECORDED.needed
LOGITS, MIXER, PIXELS = 1e-4, 5e-5, 5e-5
RUNS, FILTERED = RECORDED.read("config.json").get("runs", []), RECORDED.runs(r"(\w+)_filtered")


@dataclass(frozen=True)
class Golden:
    """A recording, our model with its weights, and the same with the positions that the released code draws with."""

    config: dict[str, Any]
    io: dict[str, Tensor]
    official: dict[str, Tensor]
    model: Model
    drawing: Model


def part(state: dict[str, Any], role: str) -> dict[str, Any]:
    """The entries of the generator or the tokenizer, without what their names begin with."""
    prefix = FAMILY.inside[role]
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def said(config: dict[str, Any]) -> dict[str, Any]:
    """The official constructor arguments of both, without dropout, as the calls were, and the constant that was patched."""
    given = config["constructor"]
    tokenizer = given["models.stage1.vq_model.VQConfig"] | {"ch": given["Encoder/Decoder ch"]}
    mamba = given["models.stage2.config_mamba.MambaConfig"] | {"token_drop": 0.0}
    return {"network": mamba, "tokenizer": tokenizer}


def loaded(config: dict[str, Any] | None) -> Model:
    model = load_official("aim", FILE, config)
    assert isinstance(model, Model)
    return model


@pytest.fixture(scope="module")
def golden() -> Golden:
    config = RECORDED.read("config.json")
    model, drawing = loaded(said(config)), loaded(said(config))
    with torch.no_grad():  # there token i takes the place i + 1
        places = drawing.network.backbone.positions
        places[:-1] = places.roll(-1, 0)[:-1].clone()
    return Golden(config, RECORDED.tensors("io"), RECORDED.tensors("weights_aim"), model, drawing)


@torch.no_grad()
def test_tokenizer(golden: Golden) -> None:
    model, io = golden.model, golden.io
    tokens = model.tokenizer.encode(io["tok_pixels"])
    assert torch.equal(tokens.data, io["tok_ids"])
    codes = model.tokenizer.embed(tokens.data).unflatten(1, tokens.layout.shape)
    near(codes.movedim(-1, 1), io["tok_quant"], PIXELS)
    near(model.tokenizer.decode(tokens), io["tok_recon"], PIXELS)


def mixed(golden: Golden) -> tuple[Any, Tensor]:
    """The first mixer, and what it was given."""
    return golden.model.network.backbone.blocks[0].mixer, golden.io["mixer_in"]


@torch.no_grad()
def test_mixer_in_parallel(golden: Golden) -> None:
    mixer, x = mixed(golden)
    near(mixer(x, Context(None, Mask(causal=True))), golden.io["mixer_out"], MIXER)


@pytest.mark.parametrize("first", [1, 4])
@torch.no_grad()
def test_mixer_step_by_step(golden: Golden, first: int) -> None:
    """One slot at a time, also after several at once; outputs and both states at the end."""
    mixer, x = mixed(golden)
    first = min(first, x.shape[1] - 1)
    state = mixer.state(len(x), x.shape[1], x)
    assert isinstance(state, Recurrence)
    cuts = [x[:, :first], *x[:, first:].split(1, dim=1)]
    outputs = [mixer(cut, Context(None, Mask(causal=True), cut.shape[1]), state) for cut in cuts]
    near(torch.cat(outputs, 1), golden.io["mixer_step_out"], MIXER)
    near(
        state.inputs, golden.io["mixer_conv_state"][..., 1:], MIXER
    )  # theirs also keeps one input that is never read again
    near(state.memory, golden.io["mixer_ssm_state"], MIXER)


@torch.inference_mode()
def test_teacher_forced_logits(golden: Golden) -> None:
    network, io = golden.model.network, golden.io
    plan = network.plan(0, len(io["gen_ids"]), golden.model.device)
    prepared = network.condition.prepare(io["gen_labels"][:, 0], None, golden.model.device)
    for name, condition in (("", network.condition(prepared)), ("_uncond", network.condition.null(prepared))):
        near(network.head.logits(network.hidden(io["gen_ids"], condition, plan)), io[f"gen_tf_logits{name}"], LOGITS)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["name"])
def test_generation_through_the_state(golden: Golden, run: dict[str, Any]) -> None:
    """Ids exactly where the likeliest are taken, else the recorded draws; guided logits, and the picture."""
    io, name = golden.io, run["name"]
    recorder = Recorder(None if run["top_k"] == 1 else io[f"{name}_ids"].split(1, dim=1))
    *_, last = golden.drawing.stream(io["gen_labels"][:, 0], guidance=run["cfg_scale"], pick=recorder)
    assert torch.equal(last.decoding.tokens.data, io[f"{name}_ids"])
    near(recorder.logits, io[f"{name}_logits"], LOGITS)
    with torch.no_grad():
        near(golden.drawing.tokenizer.decode(last.decoding.tokens), io[f"{name}_image"], PIXELS)


@pytest.mark.parametrize("run", [run for run in RUNS if run["name"] in FILTERED], ids=lambda run: run["name"])
def test_what_the_filters_leave(golden: Golden, run: dict[str, Any]) -> None:
    """Of recorded logits, from which the first half of the official draws was taken."""
    io, name, k, p = golden.io, run["name"], run["top_k"], run["top_p"]
    logits, expected, ids = io[f"{name}_logits"], io[f"{name}_filtered"], io[f"{name}_ids"]
    assert torch.equal(io[f"{name}_drawn"][: len(ids)], ids)
    filtered = keep_top_k(logits, min(k, logits.shape[-1])) if k else logits
    filtered = keep_top_p(filtered, p) if 0 < p < 1 else filtered
    assert torch.equal(filtered == -torch.inf, expected == -torch.inf)
    near(filtered, expected, LOGITS)
    near(Pick(top_k=k, top_p=p or 1.0).probabilities(logits), expected.softmax(-1), LOGITS)
    assert expected.gather(-1, ids[..., None]).isfinite().all()


def test_the_released_code_draws_with_shifted_positions(golden: Golden) -> None:
    """Drawn with the positions of training, the logits are those of training instead: parallel is incremental only so."""
    io, found = golden.io, {}
    for name, model in (("trained", golden.model), ("drawn", golden.drawing)):
        replay = Recorder(io["gen_ids"].split(1, dim=1))
        *_, last = model.stream(io["gen_labels"][:, 0], guidance=1.0, pick=replay)
        assert isinstance(last.decoding.tokens, Tokens)
        found[name] = replay.logits
    near(found["trained"], io["gen_tf_logits"], LOGITS)
    assert (found["drawn"] - io["gen_tf_logits"]).abs().max() > LOGITS


def test_keys_go_there_and_back(golden: Golden) -> None:
    """All but the last position, which nothing there uses, and the tokenizer's count of uses."""
    back, official = KEYS.to_theirs(golden.model.network.state_dict()), part(golden.official, "network")
    assert back.keys() == official.keys()
    places = next(key for key in official if "position_embeddings" in key)
    assert torch.equal(back[places][:-1], official.pop(places)[:-1])
    assert all(torch.equal(back[key], value) for key, value in official.items())
    back, official = vq.KEYS.to_theirs(golden.model.tokenizer.state_dict()), part(golden.official, "tokenizer")
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], value) for key, value in official.items() if key != vq.USED)


def test_the_shapes_show_everything(golden: Golden) -> None:
    """A file alone is the same model."""
    assert loaded(None).system == golden.model.system


@pytest.mark.parametrize(
    ("role", "name"),
    [
        *(("network", name) for name in ("d_model", "num_tokens", "d_state", "headdim", "adaln_group", "rms_norm")),
        *(("tokenizer", name) for name in ("n_embed", "ch_mult", "ch")),
    ],
)
def test_a_config_that_is_not_of_the_file_is_refused(role: str, name: str, golden: Golden) -> None:
    config = said(golden.config)
    with pytest.raises(UsageError, match=name):
        loaded(config | {role: config[role] | {name: -1}})


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_size(name: str) -> None:
    """What shapes and arguments say is our size; the maps give the official list, and take it."""
    entry = RECORDED.published[name]
    (size,) = (size for size, found in PUBLISHED.items() if entry["repo"].endswith(found.network.split(":")[0]))
    system, (mamba, vqvae) = SIZES[size], (part(entry["state_dict"], role) for role in FAMILY.inside)
    assert len(mamba) + len(vqvae) == len(entry["state_dict"])
    assert (
        coding(Arguments("the manifest", {key: tuple(shape) for key, (shape, _) in vqvae.items()})) == system.tokenizer
    )
    assert_read(FAMILY, {"state_dict": mamba}, entry["constructor"], system)
    network = assert_published(system.network, KEYS, mamba)
    assert_published(system.tokenizer.build, vq.KEYS, vqvae)
    assert sum(p.numel() for p in network.parameters()) == entry["parameters_mamba_only"]


@pytest.mark.skipif(not RECORDED.published, reason="no manifest in the recordings")
def test_published_files_are_those_of_the_manifest() -> None:
    for found, entry in zip(PUBLISHED.values(), RECORDED.published.values(), strict=True):
        home, file = found.network.split(":")
        assert entry["repo"].endswith(home)
        assert file in entry["file"]
