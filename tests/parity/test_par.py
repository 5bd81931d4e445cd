"""PAR against recorded outputs of the official code, and its key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, regions and scales come from them. Tolerances from the README: 1e-4 for
logits (measured noise 9e-6), 3e-4 for guided ones, ids exactly.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model
from nextset.layout import Tokens
from nextset.noise import Noise
from nextset.official.par import FAMILY, KEYS, PUBLISHED
from nextset.orders import Plan
from nextset.slots import visible
from nextset.systems.par import SIZES

from .recordings import (
    Recorder,
    Recordings,
    assert_files,
    assert_published,
    assert_read,
    near,
    numbers,
    opened,
    size_of,
    turns,
)

RECORDED = Recordings("par")
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
    """Logits (B, N, V) in the order of the plan, in which recorded tokens are too; without labels those of the null class."""
    network, plan = model.network, plan_of(model)
    prepared = network.condition.prepare(labels, len(io["in.tokens"]), model.device)
    tokens = plan.to_sites(io["in.tokens"])
    return network.head.logits(network.hidden(tokens, network.condition(prepared), plan))


def test_order(model: Model, io: dict[str, Tensor]) -> None:
    assert torch.equal(plan_of(model).perm, io["out.raster_index_of_slot"])


def test_rotary_table(model: Model, io: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Of the class and the learned slots, which have no place, and of every site by rank."""
    first, rest = plan_of(model).perm.tensor_split([config["model_args"]["ar_token_num"]])
    absent = torch.full((len(io["out.rope_table"]) - len(first) - len(rest),), -1)
    sites = torch.cat([absent[:1], first, absent[1:], rest])
    near(turns(model.network.backbone.rotary, sites), io["out.rope_table"], TABLE)


def test_mask(model: Model, io: dict[str, Tensor]) -> None:
    """Ours ends before the last group, whose slots predict nothing."""
    table = model.system.wiring.whole(plan_of(model).sizes, 1)
    mask = io["out.group_mask"][: len(table), : len(table)]
    assert torch.equal(torch.from_numpy(visible(table, table)), mask)


def test_teacher_forced_logits(model: Model, io: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Official logits have a row for every slot; the first N predict."""
    sites = model.system.layout.sites
    conditional, null = (teacher_forced(model, io, labels) for labels in (io["in.labels"], None))
    near(conditional, io["out.logits"][:, :sites], PLAIN)
    near(conditional, io["out.train_logits"], PLAIN)
    near(null, io["out.logits_uncond"][:, :sites], PLAIN)
    near(null.lerp(conditional, config["cfg_scale"]), io["out.logits_cfg"][:, :sites], GUIDED)


def test_loss(model: Model, io: dict[str, Tensor]) -> None:
    tokens = Tokens(plan_of(model).to_sites(io["in.tokens"]), model.system.layout)
    near(model.loss(tokens, io["in.labels"])["loss"], io["out.train_loss"][0], PLAIN)


@pytest.mark.parametrize("name", RECORDED.runs(r"out\.greedy_(\w+)_tokens"))
def test_greedy_generation_through_the_cache(
    name: str, model: Model, io: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Tokens exactly and the logits that decided them."""
    recorder, scale = Recorder(), config["cfg_scale"] if name == "cfg" else 1.0
    *_, last = model.stream(io["in.labels"], guidance=scale, pick=recorder)
    assert torch.equal(plan_of(model).to_ranks(last.decoding.tokens.data), io[f"out.greedy_{name}_tokens"])
    if f"out.greedy_{name}_logits" in io:
        near(recorder.logits, io[f"out.greedy_{name}_logits"], GUIDED)


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    entry = RECORDED.published[name]
    system = SIZES[size_of(PUBLISHED, entry)]
    assert_read(FAMILY, entry, numbers(entry["constructor"]), system)
    assert_published(system.network, KEYS, entry["state_dict"])


def test_published_files_are_those_of_the_manifest() -> None:
    assert_files(PUBLISHED, RECORDED.published.values())
