"""NAR against recorded outputs of the official code, and its key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes and scales come from them. Tolerances from the README: 1e-4 for
logits (measured noise 7e-6), 3e-4 for guided ones, ids exactly.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, System
from nextset.backbones import Llama, Twofold
from nextset.conditions import Label, Text
from nextset.layout import Tokens
from nextset.mixers import Attention
from nextset.noise import Noise
from nextset.official.nar import KEYS
from nextset.orders import Plan
from nextset.slots import visible
from nextset.systems.nar import PUBLISHED, SIZES, TINY
from nextset.tokenizers.pixel import Pixel

from .recordings import Recorder, Recordings, assert_published, near, numbers

RECORDED = Recordings("nar")
pytestmark = RECORDED.needed
PLAIN, GUIDED = 1e-4, 3e-4


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> Model:
    """Our system of the official constructor arguments, with the official weights; any alphabet will do for tokens."""
    official = config["model_args"]
    assert (official["ffn_dim_multiplier"], official["n_kv_head"], official["cls_token_num"]) == (None, None, 1)
    side = math.isqrt(official["block_size"])
    llama = Llama(
        official["dim"],
        official["n_layer"],
        Attention(official["n_head"]),
        dropout=0.0,
        hidden_multiple=official["multiple_of"],
        rotary_base=official["rope_base"],
        eps=official["norm_eps"],
    )
    system = replace(
        TINY,
        tokenizer=Pixel(official["vocab_size"]),
        size=(side, side),
        condition=Label(official["num_classes"], 0.0),
        backbone=Twofold(llama, official["medusa_attention_num"]),
    )
    built = system.build().eval()
    built.network.load_state_dict(KEYS.to_ours(RECORDED.tensors("weights")))
    return built


def plan_of(model: Model) -> Plan:
    return model.system.order.plan(model.system.layout, Noise(0, range(1)))


@torch.inference_mode()
def teacher_forced(model: Model, io: dict[str, Tensor], labels: Tensor | None) -> Tensor:
    """Logits (B, N, V) by site; without labels those of the null class."""
    network, plan = model.network, plan_of(model)
    prepared = network.condition.prepare(labels, len(io["in.tokens"]), model.device)
    hidden = network.hidden(io["in.tokens"], network.condition(prepared), plan)
    return plan.to_sites(network.head.logits(hidden))


def test_steps(model: Model, io: dict[str, Tensor]) -> None:
    assert list(plan_of(model).sizes) == io["out.tokens_per_step"].tolist()


def test_mask(model: Model, io: dict[str, Tensor]) -> None:
    """Ours is in the order of the plan and ends before the last token, whose slot predicts nothing."""
    plan = plan_of(model)
    table = model.system.wiring.whole(plan.sizes, 1)
    places = torch.cat([torch.zeros(1, dtype=torch.int64), plan.perm[:-1] + 1])
    assert torch.equal(torch.from_numpy(visible(table, table)), io["out.proximity_mask"][places][:, places])


def test_teacher_forced_logits(model: Model, io: dict[str, Tensor], config: dict[str, Any]) -> None:
    conditional, null = (teacher_forced(model, io, labels) for labels in (io["in.labels"], None))
    near(conditional, io["out.logits"], PLAIN)
    near(null, io["out.logits_uncond"], PLAIN)
    near(null.lerp(conditional, config["cfg_scale"]), io["out.logits_cfg"], GUIDED)


def test_loss(model: Model, io: dict[str, Tensor]) -> None:
    loss = model.loss(Tokens(io["in.tokens"], model.system.layout), io["in.labels"])["loss"]
    near(loss, io["out.loss"][0], PLAIN)


@pytest.mark.parametrize("name", ["cfg", "nocfg"])
def test_greedy_generation_through_the_cache(
    name: str, model: Model, io: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Tokens exactly and the logits that decided them, wavefront by wavefront."""
    recorder, scale = Recorder(), config["cfg_scale"] if name == "cfg" else 1.0
    *_, last = model.stream(io["in.labels"], guidance=scale, pick=recorder)
    assert torch.equal(last.decoding.tokens.data, io[f"out.greedy_{name}_tokens"])
    if name == "cfg":
        near(recorder.logits, io["out.greedy_cfg_step_logits"], GUIDED)


def sizes_of(entry: dict[str, Any]) -> list[System]:
    """Our sizes that a published entry describes; captions come in two resolutions of equal weights."""
    theirs = {key: shape for key, (shape, _) in entry["state_dict"].items()}
    blocks = len({key.split(".")[1] for key in theirs if key.startswith("layers.")})
    condition = Text if "cls_embedding.uncond_embedding" in theirs else Label
    shape = blocks, theirs["norm.weight"][0], condition
    return [s for s in SIZES.values() if shape_of(s) == shape]


def shape_of(system: System) -> tuple[int, int, type]:
    """Blocks, width and condition of a size."""
    backbone = system.backbone
    assert isinstance(backbone, Twofold)
    return backbone.llama.depth + backbone.more, backbone.width, type(system.condition)


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    entry = RECORDED.published[name]
    given = numbers(entry["constructor"])
    systems = sizes_of(entry)
    assert systems
    assert given.get("block_size", 256) in {system.layout.sites for system in systems}
    for system in systems:
        llama = system.backbone.llama  # type: ignore[attr-defined]
        assert llama.mixer.heads == given.get("n_head", llama.mixer.heads)
        assert_published(system.network, KEYS, entry["state_dict"])


def test_published_files_are_those_of_the_manifest() -> None:
    files = {file.split()[0] for entry in RECORDED.published.values() for file in entry["checkpoint_files"]}
    assert {file for files in PUBLISHED.values() for file in files} == files
