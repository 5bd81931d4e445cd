"""RandAR against recorded outputs of the official code, and its key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, orders, scales and steps come from them. Tolerances from the README:
1e-4 for logits (measured noise 3e-5), 3e-4 for guided ones, ids exactly.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from nextset import Layout, Model
from nextset.backbones import Llama
from nextset.conditions import Label
from nextset.decode import Constant, Guidance, Proportional
from nextset.layout import Discrete
from nextset.mixers import Attention
from nextset.noise import Noise
from nextset.official.randar import KEYS
from nextset.orders import Order, Plan
from nextset.orders.schedules import cosine_sizes
from nextset.systems.randar import PUBLISHED, SIZES, TINY
from nextset.tokenizers.pixel import Pixel
from nextset.wirings import Instructions

FOLDER = Path(os.environ.get("NEXTSET_PARITY", Path(__file__).parents[3] / "shared" / "parity")) / "randar"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is absent: set NEXTSET_PARITY to the recordings")
PLAIN, GUIDED = 1e-4, 3e-4


@dataclass(frozen=True)
class Given(Order):
    """Recorded orders, in given steps."""

    perm: tuple[tuple[int, ...], ...]
    steps: tuple[int, ...]

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """As recorded."""
        return self.steps

    def plan(self, layout: Layout, noise: Noise) -> Plan:
        """As recorded."""
        return Plan(torch.tensor(self.perm), self.steps)


class Recorder:
    """Takes the most likely ids and notes the logits that it was given."""

    temperature = 0.0

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        self.seen.append(logits)
        return logits.argmax(-1)


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return json.loads((FOLDER / "config.json").read_text())


@pytest.fixture(scope="module")
def io() -> dict[str, Tensor]:
    return load_file(FOLDER / "io.safetensors")


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> Model:
    """Our system of the official constructor arguments, with the official weights; any alphabet will do for tokens."""
    official = config["model_args"]
    assert (official["ffn_dim_multiplier"], official["n_kv_head"], official["cls_token_num"]) == (None, None, 1)
    side, heads = math.isqrt(official["block_size"]), official["n_head"]
    system = replace(
        TINY,
        tokenizer=Pixel(official["vocab_size"]),
        size=(side, side),
        wiring=Instructions(heads, official["rope_base"]),
        condition=Label(official["num_classes"], 0.0),
        backbone=Llama(
            official["dim"],
            official["n_layer"],
            Attention(heads),
            dropout=0.0,
            hidden_multiple=official["multiple_of"],
            rotary_base=official["rope_base"],
            eps=official["norm_eps"],
        ),
    )
    built = system.build().eval()
    built.network.load_state_dict(KEYS.to_ours(load_file(FOLDER / "weights.safetensors")))
    return built


def near(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=tolerance)


@torch.inference_mode()
def teacher_forced(model: Model, io: dict[str, Tensor], labels: Tensor | None, perm: Tensor) -> Tensor:
    """Logits (B, N, V) in the order of `perm`; without labels those of the null class."""
    network, sites = model.network, model.system.layout.sites
    prepared = network.condition.prepare(labels, len(io["in.tokens"]), model.device)
    plan = Plan(perm, (1,) * sites)
    return network.head.logits(network.hidden(io["in.tokens"], network.condition(prepared), plan))


def test_position_instructions(model: Model, io: dict[str, Tensor]) -> None:
    near(model.network.wiring.instructions(io["in.orders"]).detach(), io["out.position_instruction_tokens"], PLAIN)


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


@pytest.mark.parametrize("name", ["full", "parallel", "parallel_raster_nocfg"])
def test_greedy_generation_through_the_cache(
    name: str, model: Model, io: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Tokens exactly and the logits that decided them, one site a step and several, guided and not."""
    orders, guidance = io["in.orders"], Proportional(config["cfg_scales"][1], config["cfg_scales"][0])
    schedule: Guidance = guidance
    if "raster" in name:
        orders, schedule = torch.arange(orders.shape[1]).expand_as(orders), Constant(1.0)
    sites = orders.shape[1]
    sizes = (1,) * sites if name == "full" else cosine_sizes(sites, config["num_inference_steps"])
    assert list(sizes) == io[f"out.{name}_num_query"].tolist()
    given = Given(tuple(map(tuple, orders.tolist())), sizes)
    own, recorder = model.system, Recorder()
    try:
        model.system = replace(own, order=given)
        *_, last = model.stream(io["in.labels"], guidance=schedule, pick=recorder)  # type: ignore[arg-type]
    finally:
        model.system = own
    assert torch.equal(last.decoding.tokens.data, io[f"out.greedy_{name}_tokens"])
    near(torch.cat(recorder.seen, 1), io[f"out.greedy_{name}_logits_in_order"], GUIDED)


def published() -> dict[str, Any]:
    path = FOLDER / "published.json"
    return json.loads(path.read_text()) if path.is_file() else {}


@pytest.mark.parametrize("name", published())
def test_every_published_key_and_shape(name: str) -> None:
    entry = published()[name]
    numbers = {
        k: int(v)
        for k, v in re.findall(r"(n_layer|n_head|dim|vocab_size|block_size|num_classes)=(\d+)", entry["constructor"])
    }
    theirs = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    system = next(SIZES[size] for size, files in PUBLISHED.items() if set(files) & set(entry["checkpoint_files"]))
    assert (system.backbone.depth, system.backbone.width) == (numbers["n_layer"], numbers["dim"])  # type: ignore[attr-defined]
    assert system.backbone.mixer == Attention(numbers["n_head"])  # type: ignore[attr-defined]
    assert (system.layout.sites, system.tokenizer.unit) == (numbers["block_size"], Discrete(numbers["vocab_size"]))
    with torch.device("meta"):
        state = system.network().state_dict()
    found = KEYS.to_theirs(state)
    assert {key: tuple(value.shape) for key, value in found.items()} == theirs
    back = KEYS.to_ours({key: torch.empty(shape, device="meta") for key, shape in theirs.items()})
    assert {key: value.shape for key, value in back.items()} == {key: value.shape for key, value in state.items()}


def test_published_files_are_those_of_the_manifest() -> None:
    files = {file for entry in published().values() for file in entry["checkpoint_files"]}
    assert {file for files in PUBLISHED.values() for file in files} == files
