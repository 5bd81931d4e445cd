"""RandAR against recorded outputs of the official code, and its key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, orders, scales and steps come from them. Tolerances from the README:
1e-4 for logits (measured noise 3e-5), 3e-4 for guided ones, ids exactly.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model
from nextset.decode import Constant, Guidance, Proportional
from nextset.official.randar import FAMILY, KEYS, PUBLISHED
from nextset.orders import Plan
from nextset.orders.schedules import cosine_sizes
from nextset.systems.randar import SIZES

from .recordings import (
    Given,
    Recorder,
    Recordings,
    assert_files,
    assert_published,
    assert_read,
    near,
    numbers,
    opened,
    ordered,
    size_of,
    turns,
)

RECORDED = Recordings("randar")
pytestmark = RECORDED.needed
PLAIN, GUIDED, TABLE = 1e-4, 3e-4, 1e-6


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> Model:
    """Our system of the official constructor arguments, with the official weights."""
    return opened(RECORDED, config["model_args"])


@torch.inference_mode()
def teacher_forced(model: Model, io: dict[str, Tensor], labels: Tensor | None, perm: Tensor) -> Tensor:
    """Logits (B, N, V) in the order of `perm`; without labels those of the null class."""
    network, sites = model.network, model.system.layout.sites
    prepared = network.condition.prepare(labels, len(io["in.tokens"]), model.device)
    plan = Plan(perm, (1,) * sites)
    return network.head.logits(network.hidden(io["in.tokens"], network.condition(prepared), plan))


def test_position_instructions(model: Model, io: dict[str, Tensor]) -> None:
    near(model.network.wiring.instructions(io["in.orders"]).detach(), io["out.position_instruction_tokens"], PLAIN)


def test_rotary_table(model: Model, io: dict[str, Tensor]) -> None:
    """Of the class, which has no place, and of every site."""
    near(turns(model.network.backbone.rotary, torch.arange(-1, model.system.layout.sites)), io["out.rope_table"], TABLE)


def test_teacher_forced_logits(model: Model, io: dict[str, Tensor], config: dict[str, Any]) -> None:
    orders = io["in.orders"]
    raster = torch.arange(orders.shape[1]).expand_as(orders)
    conditional, null = (teacher_forced(model, io, labels, orders) for labels in (io["in.labels"], None))
    near(conditional, io["out.logits"], PLAIN)
    near(null, io["out.logits_uncond"], PLAIN)
    near(null.lerp(conditional, config["cfg_scales"][1]), io["out.logits_cfg"], GUIDED)
    near(teacher_forced(model, io, io["in.labels"], raster), io["out.logits_raster"], PLAIN)


def test_loss(model: Model, io: dict[str, Tensor]) -> None:
    target = io["in.tokens"].gather(1, io["in.orders"])
    logits = teacher_forced(model, io, io["in.labels"], io["in.orders"])
    near(torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten()), io["out.loss"][0], PLAIN)


@pytest.mark.parametrize("name", RECORDED.runs(r"out\.(\w+)_num_query"))
def test_greedy_generation_through_the_cache(
    name: str, model: Model, io: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Tokens exactly and the logits that decided them, as the words of the name say: one site a step or several, guided or not."""
    words, orders, (first, last) = name.split("_"), io["in.orders"], config["cfg_scales"]
    schedule: Guidance = Constant(1.0) if "nocfg" in words else Proportional(last, first)
    if "raster" in words:
        orders = torch.arange(orders.shape[1]).expand_as(orders)
    sites = orders.shape[1]
    sizes = (1,) * sites if "full" in words else cosine_sizes(sites, config["num_inference_steps"])
    assert list(sizes) == io[f"out.{name}_num_query"].tolist()
    given = Given(tuple(map(tuple, orders.tolist())), sizes)
    recorder = Recorder()
    with ordered(model, given):
        *_, end = model.stream(io["in.labels"], guidance=schedule, pick=recorder)
    assert torch.equal(end.decoding.tokens.data, io[f"out.greedy_{name}_tokens"])
    near(recorder.logits, io[f"out.greedy_{name}_logits_in_order"], GUIDED)


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    entry = RECORDED.published[name]
    system = SIZES[size_of(PUBLISHED, entry)]
    assert_read(FAMILY, entry, numbers(entry["constructor"]), system, ("order", "guidance", "pick"))
    assert_published(system.network, KEYS, entry["state_dict"])


def test_published_files_are_those_of_the_manifest() -> None:
    assert_files(PUBLISHED, RECORDED.published.values())
