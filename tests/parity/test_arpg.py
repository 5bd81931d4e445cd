"""ARPG against recorded outputs of the official code, and its key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, orders, scales and steps come from them. Tolerances from the README:
2e-4 for logits (measured noise 5e-5), 4e-4 for guided ones, 5e-5 for probabilities, ids exactly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model
from nextset.decode import Constant, Guidance, Proportional
from nextset.nn.masking import Arccos, Cosine
from nextset.official.arpg import FAMILY, KEYS, PUBLISHED
from nextset.orders import Falling, Plan, Schedule
from nextset.systems.arpg import SIZES
from nextset.wirings import Causal, Mutual, Queries

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

RECORDED = Recordings("arpg")
pytestmark = RECORDED.needed
PLAIN, GUIDED, PROBABILITIES, TABLE = 2e-4, 4e-4, 5e-5, 1e-6
CUTS: dict[str, Schedule] = {"arccos": Falling(Arccos()), "cosine": Falling(Cosine())}
RUNS = RECORDED.runs(r"out\.(\w+)_num_pred")  # curve, guidance, and "full" where every step takes one site


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> Model:
    """Our system of the official constructor arguments, with the official weights."""
    return opened(RECORDED, config["model_args"])


@torch.inference_mode()
def teacher_forced(model: Model, io: dict[str, Tensor], labels: Tensor | None) -> Tensor:
    """Logits (B, N, V) in the recorded orders; without labels those of the null class."""
    network, sites = model.network, model.system.layout.sites
    prepared = network.condition.prepare(labels, len(io["in.tokens"]), model.device)
    plan = Plan(io["in.orders"], (1,) * sites)
    return network.head.logits(network.hidden(io["in.tokens"], network.condition(prepared), plan))


def test_teacher_forced_logits(model: Model, io: dict[str, Tensor], config: dict[str, Any]) -> None:
    conditional, null = (teacher_forced(model, io, labels) for labels in (io["in.labels"], None))
    near(conditional, io["out.train_logits"], PLAIN)
    near(null, io["out.train_logits_uncond"], PLAIN)
    near(null.lerp(conditional, config["guidance_scale"]), io["out.train_logits_cfg"], GUIDED)


def test_condition_ids(model: Model, io: dict[str, Tensor]) -> None:
    """Theirs are rows of one table, ours of a table of classes: the same vectors."""
    rows = RECORDED.tensors("weights")["embeddings.weight"][io["out.condition_ids"].flatten()]
    assert torch.equal(model.network.condition.embed(io["in.labels"]), rows)


def test_rotary_table(model: Model, io: dict[str, Tensor]) -> None:
    """Of the class, which has no place, and of every site."""
    near(turns(model.network.backbone.rotary, torch.arange(-1, model.system.layout.sites)), io["out.rope_table"], TABLE)


def test_loss(model: Model, io: dict[str, Tensor]) -> None:
    target = io["in.tokens"].gather(1, io["in.orders"])
    logits = teacher_forced(model, io, io["in.labels"])
    near(torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten()), io["out.train_loss"][0], PLAIN)


@pytest.mark.parametrize("name", RUNS)
def test_schedules_and_scales(name: str, io: dict[str, Tensor], config: dict[str, Any]) -> None:
    cut, kind, *rest = name.split("_")
    recorded = tuple(io[f"out.{name}_num_pred"].tolist())
    sites = sum(recorded)
    assert CUTS[cut].sizes(sites, sites if "full" in rest else config["num_iter"]) == recorded
    scales = guidance(kind, config).scales(recorded)
    torch.testing.assert_close(torch.tensor(scales), io[f"out.{name}_cfg_scale"], rtol=1e-6, atol=0)


def guidance(kind: str, config: dict[str, Any]) -> Guidance:
    scale = config["guidance_scale"]
    return Constant(scale) if kind == "constant" else Proportional(scale, after=True)


def drawn(model: Model, io: dict[str, Tensor], name: str, config: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Greedy ids (B, N) by site and probabilities (B, N, V) in order, through the cache of our engine."""
    order = Given(tuple(io["in.gen_order"].tolist()), tuple(io[f"out.{name}_num_pred"].tolist()))
    recorder, schedule = Recorder(), guidance(name.split("_")[1], config)
    with ordered(model, order):
        *_, last = model.stream(io["in.labels"], guidance=schedule, pick=recorder)
    return last.decoding.tokens.data, recorder.logits.softmax(-1)


@pytest.mark.parametrize("name", RUNS)
def test_greedy_generation_through_the_cache(
    name: str, model: Model, io: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Tokens exactly, and the probabilities that decided them."""
    ids, probabilities = drawn(model, io, name, config)
    assert torch.equal(ids, io[f"out.greedy_{name}_tokens"])
    near(probabilities, io[f"out.greedy_{name}_probs_in_order"], PROBABILITIES)


def test_the_released_sampler_does_not_remember_in_causal_order(
    model: Model, io: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """With several sites a step a causal memory computes something else; with one it does not."""
    strict = replace(model.system, wiring=Queries(Causal())).build().eval()
    strict.network.load_state_dict(model.network.state_dict())
    assert model.system.wiring == Queries(Mutual())
    for name in RUNS:
        found, recorded = drawn(strict, io, name, config)[1], io[f"out.greedy_{name}_probs_in_order"]
        if io[f"out.{name}_num_pred"][:-1].max() == 1:  # what the last step takes nobody remembers
            near(found, recorded, PROBABILITIES)
        else:
            assert (found - recorded).abs().max() > PROBABILITIES


def test_keys_go_there_and_back(model: Model) -> None:
    """All but the row that nothing here uses."""
    official, back = RECORDED.tensors("weights"), KEYS.to_theirs(model.network.state_dict())
    assert back.keys() == official.keys()
    unused = official.pop("embeddings.weight")
    assert torch.equal(back["embeddings.weight"][:-1], unused[:-1])
    assert all(torch.equal(back[key], value) for key, value in official.items())


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    entry = RECORDED.published[name]
    system = SIZES[size_of(PUBLISHED, entry)]
    assert_read(FAMILY, entry, numbers(entry["constructor"]), system, ("order", "guidance", "pick"))
    assert_published(system.network, KEYS, entry["state_dict"])


def test_published_files_are_those_of_the_manifest() -> None:
    assert_files(PUBLISHED, RECORDED.published.values())
