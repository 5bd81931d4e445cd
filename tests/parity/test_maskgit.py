"""MaskGIT's generators against recorded outputs of 1d-tokenizer's ImageBert and UViTBert, and their key maps against the published sizes.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, scales, steps and noise come from them. Tolerances from the READMEs: 5e-4
for logits (measured noise 1e-4), ids exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, UsageError
from nextset.decode import Constant, CosineRamp, Guidance, Pick, Ramp, unmask
from nextset.decode.guidance import from_extra
from nextset.family import Arguments
from nextset.folders import load_tensors
from nextset.heads.base import Picker
from nextset.keymap import KeyMap
from nextset.layout import blank
from nextset.official.maskgit import KEYS, KEYS_UVIT, PUBLISHED, keys, read
from nextset.orders import Confidence
from nextset.orders.confidence import ConfidenceChooser, gumbel
from nextset.systems.maskgit import SIZES, falling
from nextset.tokenizers.absent import Absent
from nextset.weights import load_official

from .recordings import Recordings, assert_published, near, ordered, size_of

FAMILIES = {Recordings("imagebert"): KEYS, Recordings("uvitbert"): KEYS_UVIT}
ATOL = 5e-4


def runs(kind: str) -> list[str]:
    """Names of the recorded generations, "greedy" ones or those with noise: how guidance falls, and more."""
    return sorted({name for family in FAMILIES for name in family.runs(rf"out\.{kind}_(\w+)_tokens")})


@dataclass(frozen=True)
class Golden:
    """One recorded instance."""

    file: Path
    config: dict[str, Any]
    io: dict[str, Tensor]
    model: Model
    keys: KeyMap

    @property
    def steps(self) -> int:
        """Of every recorded generation."""
        return self.config["num_sample_steps"]

    @property
    def scale(self) -> float:
        """As the official call has it."""
        return self.config["guidance_scale"]


def said(config: dict[str, Any]) -> dict[str, Any]:
    """The official constructor arguments, without dropout, as the calls were."""
    return config["config"] | {"dropout": 0.0, "attn_drop": 0.0}


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda recorded: recorded.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    """A recording, and our model with its weights, without their tokenizer."""
    recorded: Recordings = request.param
    recorded.require()
    config, file = recorded.read("config.json"), recorded.folder / "weights.safetensors"
    model = load_official(recorded.name, file, said(config))
    assert isinstance(model, Model)
    return Golden(file, config, recorded.tensors("io"), model, FAMILIES[recorded])


@torch.inference_mode()
def logits(golden: Golden, labels: Tensor | None) -> Tensor:
    """Of the recorded ids, some of which are masks, (B, N, V); without labels those of the null class."""
    network, ids = golden.model.network, golden.io["in.input_ids"]
    known = ids < golden.model.system.tokenizer.unit.vocab  # type: ignore[union-attr]
    prepared = network.condition.prepare(labels, len(ids), golden.model.device)
    hidden = network.revealed(torch.where(known, ids, 0), known, network.condition(prepared))
    return network.head.logits(hidden)


def test_logits(golden: Golden) -> None:
    conditional, null = logits(golden, golden.io["in.labels"]), logits(golden, None)
    near(conditional, golden.io["out.logits"], ATOL)
    near(null, golden.io["out.logits_uncond"], ATOL)
    near(null.lerp(conditional, golden.scale), golden.io["out.logits_cfg_power_cosine"], ATOL)
    near(null.lerp(conditional, from_extra(golden.scale)), golden.io["out.logits_cfg_constant_or_linear"], ATOL)


class Replay:
    """Draws by Gumbel noise from recorded uniform numbers (K, B, N, V), a step after the other; without: the likeliest."""

    temperature = 1.0

    def __init__(self, uniform: Tensor) -> None:
        self.steps = iter(uniform)

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Ids (B, N)."""
        return (logits + gumbel(next(self.steps))).argmax(-1)


@torch.inference_mode()
def generated(golden: Golden, order: Confidence, guidance: Guidance, pick: Picker) -> tuple[list[Tensor], Tensor]:
    """The ids that the network was given in each step, masks included, and those at the end; through the engine."""
    model, io = golden.model, golden.io
    network, layout, labels = model.network, model.system.layout, io["in.labels"]
    chooser = ConfidenceChooser(order, layout, io["in.u_conf"].transpose(0, 1))
    start, mask = (
        blank(model.system.tokenizer.unit, layout, len(labels), labels.device),
        model.system.tokenizer.unit.vocab,
    )  # type: ignore[union-attr]
    conditions = network.condition(labels), network.condition.null(labels)
    scales, drawn = guidance.scales(order.counts(layout)), torch.rand(len(labels), order.steps, layout.sites)
    given = [torch.full_like(start.data, mask)]
    for state in unmask(network, chooser, start, conditions, scales, pick, drawn):
        given.append(torch.where(state.known, state.tokens.data, mask))
    return given[:-1], given[-1]


def decay(name: str) -> str:
    """The official word for how guidance changes in a run."""
    return name.removesuffix("_anneal")


def divisor(name: str) -> tuple[float, float]:
    """Of the logits of a run: "anneal" is how the published sizes sharpen them."""
    return falling(0.0, 1).divisor if name.endswith("_anneal") else (1.0, 1.0)


def greedy(golden: Golden, name: str) -> Confidence:
    """The order of a run without noise."""
    return Confidence(golden.steps, noise=(0.0, 0.0), temperature=(0.0, 0.0), divisor=divisor(name))


def schedules(golden: Golden) -> dict[str, Guidance]:
    """The official words for ours."""
    extra = from_extra(golden.scale)
    power = CosineRamp(golden.scale, golden.config["guidance_scale_pow"])
    return {"constant": Constant(extra), "linear": Ramp(extra), "power_cosine": power}


@pytest.mark.parametrize("name", runs("greedy"))
def test_greedy_generation(golden: Golden, name: str) -> None:
    """Ids after every step, and so how many stay masked, exactly."""
    order = greedy(golden, name)
    given, tokens = generated(golden, order, schedules(golden)[decay(name)], Pick())
    assert torch.equal(torch.stack(given), golden.io[f"out.greedy_{name}_step_input_ids"])
    assert torch.equal(tokens, golden.io[f"out.greedy_{name}_tokens"])
    mask = golden.model.system.tokenizer.unit.vocab  # type: ignore[union-attr]
    counts = torch.stack([(ids == mask).sum(1) for ids in given])
    left = counts[0, 0] - torch.tensor(order.counts(golden.model.system.layout)).cumsum(0)
    assert [*counts[1:, 0].tolist(), 0] == left.tolist()
    if f"out.greedy_{name}_masked_count" in golden.io:
        assert torch.equal(counts, golden.io[f"out.greedy_{name}_masked_count"])


@pytest.mark.parametrize("name", runs("noise"))
def test_generation_with_recorded_noise(golden: Golden, name: str) -> None:
    """Gumbel noise on logits and once more on confidences."""
    order = replace(falling(golden.config["randomize_temperature"], golden.steps), divisor=divisor(name))
    given, tokens = generated(golden, order, schedules(golden)[decay(name)], Replay(golden.io["in.u_logits"]))
    assert torch.equal(torch.stack(given), golden.io[f"out.noise_{name}_step_input_ids"])
    assert torch.equal(tokens, golden.io[f"out.noise_{name}_tokens"])


@pytest.mark.parametrize("name", runs("greedy"))
def test_generate_takes_this_road(golden: Golden, name: str) -> None:
    """What users call draws the recorded ids too."""
    with ordered(golden.model, greedy(golden, name)):
        *_, last = golden.model.stream(golden.io["in.labels"], guidance=schedules(golden)[decay(name)])
    assert torch.equal(last.decoding.tokens.data, golden.io[f"out.greedy_{name}_tokens"])


def test_keys_go_there_and_back(golden: Golden) -> None:
    back, official = golden.keys.to_theirs(golden.model.network.state_dict()), load_tensors(golden.file)
    assert keys(golden.model.system) == golden.keys
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], value) for key, value in official.items())


def test_heads_are_asked_for(golden: Golden) -> None:
    """By name; everything else that matters when nobody trains is in the shapes."""
    with pytest.raises(UsageError, match="num_attention_heads"):
        load_official("maskgit", golden.file)
    heads = golden.config["config"]["model"]["generator"]["num_attention_heads"]
    alone = load_official("maskgit", golden.file, {"num_attention_heads": heads})
    assert isinstance(alone, Model)
    trained = {"backbone.dropout", "condition.dropout"}
    assert {field for field, _, _ in alone.system.diff(golden.model.system)} <= trained


@pytest.mark.parametrize(
    "name",
    ["model_type", "num_hidden_layers", "image_seq_len", "codebook_size", "condition_num_classes", "guidance_decay"],
)
def test_a_config_that_is_not_of_the_file_is_refused(name: str, golden: Golden) -> None:
    with pytest.raises(UsageError, match=name):
        load_official("maskgit", golden.file, said(golden.config) | {name: -1})


def test_a_tokenizer_of_other_tokens_is_refused(golden: Golden) -> None:
    """Of other ids, or of another number of them."""
    shapes = {key: tuple(value.shape) for key, value in load_tensors(golden.file).items()}
    sites, vocab = golden.model.system.layout.sites, golden.config["config"]["model"]["vq_model"]["codebook_size"]
    args = Arguments("file", shapes, said(golden.config) | {"crop_size": 1})
    assert read(args, Absent(vocab, line=sites)).layout.sites == sites
    with pytest.raises(UsageError, match=f"makes 1 tokens .* has {sites}"):
        read(args, Absent(vocab, stride=1))
    with pytest.raises(UsageError, match="does not belong to the generator"):
        read(args, Absent(vocab + 1, line=sites))


def published() -> dict[str, tuple[Recordings, dict[str, Any]]]:
    """Family and entry of every published size, by name."""
    return {name: (family, entry) for family in FAMILIES for name, entry in family.published.items()}


@pytest.mark.parametrize("name", published())
def test_every_published_size(name: str) -> None:
    """What shapes and arguments say is our size, and how it is drawn; the map gives the official list, and takes it."""
    family, entry = published()[name]
    size = size_of(PUBLISHED, entry)
    shapes = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    system, found = SIZES[size], read(Arguments("the manifest", shapes, entry["constructor"]), None)
    assert (found.tokenizer.unit, found.layout.sites) == (system.tokenizer.unit, system.layout.sites)
    assert replace(found, tokenizer=system.tokenizer, size=system.size) == system
    assert PUBLISHED[size].tokenizer.endswith(
        ":" + entry["constructor"]["config"]["experiment"]["tokenizer_checkpoint"]
    )
    network = assert_published(system.network, FAMILIES[family], entry["state_dict"])
    assert sum(p.numel() for p in network.parameters()) == entry["n_parameters"]


@next(iter(FAMILIES)).needed
def test_published_files_are_those_of_the_manifest() -> None:
    """Every size is there, in the first of the repositories that the manifest names."""
    entries = [entry for _, entry in published().values()]
    assert {size_of(PUBLISHED, entry) for entry in entries} == PUBLISHED.keys()
    homes = {found.network.split(":")[0] for found in PUBLISHED.values()}
    assert {entry["checkpoint_repo"].split()[1] for entry in entries} == homes
