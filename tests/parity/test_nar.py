"""NAR against recorded outputs of the official code, and its key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes and scales come from them. Tolerances from the README: 1e-4 for
logits (measured noise 7e-6), 3e-4 for guided ones, ids exactly.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, System
from nextset.layout import Tokens
from nextset.noise import Noise
from nextset.official.nar import FAMILY, KEYS, PUBLISHED
from nextset.orders import Plan
from nextset.slots import visible
from nextset.systems.nar import SIZES

from .recordings import Recorder, Recordings, assert_published, assert_read, near, numbers, opened, turns

RECORDED = Recordings("nar")
pytestmark = RECORDED.needed
PLAIN, GUIDED, TABLE = 1e-4, 3e-4, 1e-6


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> Model:
    """Our system of the official constructor arguments, with the official weights."""
    return opened(RECORDED, config["model_args"])


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


def test_rotary_table(model: Model, io: dict[str, Tensor]) -> None:
    """Of the class, which has no place, and of every site."""
    near(
        turns(model.network.backbone.llama.rotary, torch.arange(-1, model.system.layout.sites)),
        io["out.rope_table"],
        TABLE,
    )


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


@pytest.mark.parametrize("name", RECORDED.runs(r"out\.greedy_(\w+)_tokens"))
def test_greedy_generation_through_the_cache(
    name: str, model: Model, io: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Tokens exactly and the logits that decided them, wavefront by wavefront."""
    recorder, scale = Recorder(), config["cfg_scale"] if name == "cfg" else 1.0
    *_, last = model.stream(io["in.labels"], guidance=scale, pick=recorder)
    assert torch.equal(last.decoding.tokens.data, io[f"out.greedy_{name}_tokens"])
    if f"out.greedy_{name}_step_logits" in io:
        near(recorder.logits, io[f"out.greedy_{name}_step_logits"], GUIDED)


def sizes_of(entry: dict[str, Any]) -> list[System]:
    """Our sizes that a published entry describes: of captions there are two resolutions of equal weights."""
    size, kind = (
        entry["constructor"].partition("(")[0].partition(":")[0].lower().replace("_", "-").split("-")[1],
        name_of(entry),
    )
    return [s for label, s in SIZES.items() if re.fullmatch(rf"{kind}{size}(-\d+)?", label)]


def name_of(entry: dict[str, Any]) -> str:
    """What our labels begin with."""
    return "t2i-" if "cls_embedding.uncond_embedding" in entry["state_dict"] else ""


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    entry = RECORDED.published[name]
    assert sizes_of(entry)
    for system in sizes_of(entry):
        heads = system.backbone.llama.mixer.heads  # type: ignore[attr-defined]
        sites = {"block_size": system.layout.sites}
        assert_read(FAMILY, entry, {"n_head": heads} | numbers(entry["constructor"]) | sites, system)
        assert_published(system.network, KEYS, entry["state_dict"])


@pytest.mark.skipif(not RECORDED.published, reason="no manifest in the recordings")
def test_published_files_are_those_of_the_manifest() -> None:
    files = {file.split()[0] for entry in RECORDED.published.values() for file in entry["checkpoint_files"]}
    assert {found.network.split(":")[-1] for found in PUBLISHED.values()} == files
