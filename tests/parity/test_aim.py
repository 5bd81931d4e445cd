"""AiM against recorded outputs of the official code, and its key maps against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, scales and filters come from them. Tolerances from the README: 1e-4
for logits, 5e-5 for the mixer and for pixels, ids exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, Pick, System, Tokens, folders
from nextset.backbones import Transformer
from nextset.conditions import Label
from nextset.decode.pick import keep_top_k, keep_top_p
from nextset.mixers import Context, Mamba2
from nextset.mixers.mamba2 import Recurrence
from nextset.nn.modulation import Each, Grouped
from nextset.official.aim import KEYS
from nextset.official.vq import KEYS as TOKENIZER
from nextset.slots import Mask
from nextset.systems.aim import PUBLISHED, SIZES, aim
from nextset.tokenizers.vq import VQ

from .recordings import Recorder, Recordings, assert_published, near

RECORDED = Recordings("aim")
pytestmark = RECORDED.needed
LOGITS, MIXER, PIXELS = 1e-4, 5e-5, 5e-5
MAMBA, VQVAE = "mamba.", "vqvae."


@dataclass(frozen=True)
class Golden:
    """A recording, our model with its weights, and the same with the positions that the released code draws with."""

    config: dict[str, Any]
    io: dict[str, Tensor]
    official: dict[str, Tensor]
    model: Model
    drawing: Model


def part(state: dict[str, Any], prefix: str, keep: bool) -> dict[str, Any]:
    """The entries below a prefix, with it or without."""
    return {k if keep else k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def system_of(config: dict[str, Any]) -> System:
    """Our system of the official constructor arguments."""
    mamba, vq = (
        config["constructor"][f"models.{name}"]
        for name in ("stage2.config_mamba.MambaConfig", "stage1.vq_model.VQConfig")
    )
    assert (mamba["d_intermediate"], mamba["attn_layer_idx"], mamba["rms_norm"], mamba["tie_embeddings"]) == (
        0,
        [],
        True,
        True,
    )
    assert mamba["token_drop"] == mamba["mixer_drop"] == 0
    assert mamba["ssm_cfg"]["layer"] == "Mamba2"
    names = {"d_state": "state_dim", "headdim": "head_dim"}
    mixer = Mamba2(**{names[k]: v for k, v in mamba["ssm_cfg"].items() if k != "layer"})
    stride = 2 ** (len(vq["ch_mult"]) - 1)
    tokenizer = VQ(
        vq["n_embed"],
        vq["embed_dim"],
        config["constructor"]["Encoder/Decoder ch"],
        tuple(vq["ch_mult"]),
        vq["num_res_blocks"],
        latent=vq["z_channels"],
    )
    assert vq["n_embed"] == mamba["vocab_size"]
    return aim(
        mamba["d_model"],
        mamba["n_layer"],
        Grouped(mamba["num_groups"]) if mamba["adaln_group"] else Each(),
        mixer,
        math.isqrt(mamba["num_tokens"]) * stride,
        tokenizer,
        mamba["num_classes"],
    )


@pytest.fixture(scope="module")
def golden() -> Golden:
    config = RECORDED.read("config.json")
    official = RECORDED.tensors("weights_aim")
    models = []
    for _ in range(2):
        model = system_of(config).build().eval()
        folders.load_exactly(model.network, KEYS.to_ours(part(official, MAMBA, True)), RECORDED.name)
        folders.load_exactly(model.tokenizer, TOKENIZER.to_ours(part(official, VQVAE, False)), RECORDED.name)
        models.append(model)
    with torch.no_grad():  # there token i takes the place i + 1
        places = models[1].network.backbone.positions
        places[:-1] = places.roll(-1, 0)[:-1].clone()
    return Golden(config, RECORDED.tensors("io"), official, *models)


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


def scale(golden: Golden, name: str) -> float:
    return next(run for run in golden.config["runs"] if run["name"] == name)["cfg_scale"]


def test_greedy_generation_through_the_state(golden: Golden) -> None:
    """Ids exactly, the guided logits that decided them, and the picture."""
    recorder, io = Recorder(), golden.io
    *_, last = golden.drawing.stream(io["gen_labels"][:, 0], guidance=scale(golden, "greedy"), pick=recorder)
    assert torch.equal(last.decoding.tokens.data, io["greedy_ids"])
    near(recorder.logits, io["greedy_logits"], LOGITS)
    with torch.no_grad():
        near(golden.drawing.tokenizer.decode(last.decoding.tokens), io["greedy_image"], PIXELS)


def test_drawn_generation_replayed(golden: Golden) -> None:
    """With the recorded draws: guided logits, what both filters leave of them, and the picture."""
    io, run = golden.io, next(run for run in golden.config["runs"] if run["name"] == "sample")
    assert torch.equal(io["sample_drawn"][: len(io["sample_ids"])], io["sample_ids"])
    replay = Recorder(io["sample_ids"].split(1, dim=1))
    *_, last = golden.drawing.stream(io["gen_labels"][:, 0], guidance=run["cfg_scale"], pick=replay)
    logits = replay.logits
    near(logits, io["sample_logits"], LOGITS)
    filtered = keep_top_p(keep_top_k(logits, run["top_k"]), run["top_p"])
    assert torch.equal(filtered == -torch.inf, io["sample_filtered"] == -torch.inf)
    near(filtered, io["sample_filtered"], LOGITS)
    near(Pick(top_k=run["top_k"], top_p=run["top_p"]).probabilities(logits), io["sample_filtered"].softmax(-1), LOGITS)
    with torch.no_grad():
        near(golden.drawing.tokenizer.decode(last.decoding.tokens), io["sample_image"], PIXELS)


def test_the_released_code_draws_with_shifted_positions(golden: Golden) -> None:
    """Drawn with the positions of training, the logits are those of training instead: parallel is incremental only so."""
    io, found = golden.io, {}
    for name, model in (("trained", golden.model), ("drawn", golden.drawing)):
        replay = Recorder(io["gen_ids"].split(1, dim=1))
        *_, last = model.stream(io["gen_labels"][:, 0], guidance=1.0, pick=replay)
        assert isinstance(last.decoding.tokens, Tokens)
        found[name] = replay.logits
    near(found["trained"], io["gen_tf_logits"], LOGITS)
    assert (found["drawn"] - io["gen_tf_logits"]).abs().max() > 1e-2


def test_keys_go_there_and_back(golden: Golden) -> None:
    """All but the last position, which nothing there uses."""
    back = KEYS.to_theirs(golden.model.network.state_dict())
    official = part(golden.official, MAMBA, True)
    assert back.keys() == official.keys()
    places = next(key for key in official if "position_embeddings" in key)
    assert torch.equal(back[places][:-1], official.pop(places)[:-1])
    assert all(torch.equal(back[key], value) for key, value in official.items())


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    entry = RECORDED.published[name]
    numbers = entry["constructor"]["models.stage2.config_mamba.MambaConfig"]
    (size,) = (s for s in SIZES.values() if s.backbone.width == numbers["d_model"])
    assert isinstance(size.backbone, Transformer)
    assert size.backbone.depth == numbers["n_layer"]
    assert size.backbone.modulation == (Grouped(numbers["num_groups"]) if numbers["adaln_group"] else Each())
    assert isinstance(size.condition, Label)
    mamba, vqvae = part(entry["state_dict"], MAMBA, True), part(entry["state_dict"], VQVAE, False)
    assert len(mamba) + len(vqvae) == len(entry["state_dict"])
    network = assert_published(size.network, KEYS, mamba)
    assert_published(size.tokenizer.build, TOKENIZER, vqvae)
    assert sum(p.numel() for p in network.parameters()) == entry["parameters_mamba_only"]


@pytest.mark.skipif(not RECORDED.published, reason="no manifest in the recordings")
def test_published_files_are_those_of_the_manifest() -> None:
    for files, entry in zip(PUBLISHED.values(), RECORDED.published.values(), strict=True):
        assert all(file in entry["file"] for file in files)
