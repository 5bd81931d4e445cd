"""MaskGIT's generators against recorded outputs of 1d-tokenizer's ImageBert and UViTBert, and their key maps against the published sizes.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, scales, steps and noise come from them. Tolerances from the READMEs: 5e-4
for logits (measured noise 1e-4), ids exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, System
from nextset.backbones import Bert, UViT
from nextset.decode import Constant, CosineRamp, Guidance, Pick, Ramp, unmask
from nextset.decode.guidance import from_extra
from nextset.folders import load_exactly
from nextset.heads.base import Picker
from nextset.keymap import KeyMap
from nextset.layout import blank
from nextset.mixers import BiasedAttention
from nextset.nn.feedforward import MLP
from nextset.official.maskgit import KEYS, KEYS_UVIT
from nextset.orders import Confidence
from nextset.orders.confidence import ConfidenceChooser, gumbel
from nextset.systems.maskgit import PUBLISHED, SIZES, falling, maskgit
from nextset.tokenizers.pixel import Pixel

from .recordings import Recordings, assert_published, near, ordered

FAMILIES = {Recordings("imagebert"): KEYS, Recordings("uvitbert"): KEYS_UVIT}
ATOL = 5e-4


@dataclass(frozen=True)
class Golden:
    """One recorded instance."""

    config: dict[str, Any]
    official: dict[str, Tensor]
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


def system_of(official: dict[str, Any], family: str) -> System:
    """Our system of the official configuration; any alphabet of as many ids on a line of as many sites will do for tokens."""
    spec, dim = official["generator"], official["generator"]["hidden_size"]
    sites, heads, wide = spec["image_seq_len"], spec["num_attention_heads"], MLP(spec["intermediate_size"])
    depth = spec["num_hidden_layers"]
    backbone = (
        Bert(dim, depth, BiasedAttention(heads), wide)
        if family == "imagebert"
        else UViT(dim, depth, BiasedAttention(heads, inner=False), wide)
    )
    tokenizer = Pixel(official["vq_model"]["codebook_size"])
    classes = spec["condition_num_classes"]
    return maskgit(backbone, tokenizer, (1, sites), Confidence(1), Constant(1.0), classes)


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda recorded: recorded.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    """A recording, and our model with its weights."""
    recorded: Recordings = request.param
    recorded.require()
    config, official, keys = recorded.read("config.json"), recorded.tensors("weights"), FAMILIES[recorded]
    model = system_of(config["config"]["model"], recorded.name).build().eval()
    load_exactly(model.network, keys.to_ours(official), recorded.name)
    return Golden(config, official, recorded.tensors("io"), model, keys)


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


def greedy(golden: Golden, divisor: tuple[float, float] = (1.0, 1.0)) -> Confidence:
    """Without noise."""
    return Confidence(golden.steps, noise=(0.0, 0.0), temperature=(0.0, 0.0), divisor=divisor)


def schedules(golden: Golden) -> dict[str, Guidance]:
    """The official words for ours."""
    extra = from_extra(golden.scale)
    power = CosineRamp(golden.scale, golden.config["guidance_scale_pow"])
    return {"constant": Constant(extra), "linear": Ramp(extra), "power_cosine": power}


@pytest.mark.parametrize("decay", ["constant", "linear", "power_cosine"])
def test_greedy_generation(golden: Golden, decay: str) -> None:
    """Ids after every step, and so how many stay masked, exactly."""
    given, tokens = generated(golden, greedy(golden), schedules(golden)[decay], Pick())
    assert torch.equal(torch.stack(given), golden.io[f"out.greedy_{decay}_step_input_ids"])
    assert torch.equal(tokens, golden.io[f"out.greedy_{decay}_tokens"])
    mask = golden.model.system.tokenizer.unit.vocab  # type: ignore[union-attr]
    counts = torch.stack([(ids == mask).sum(1) for ids in given])
    assert torch.equal(counts, golden.io[f"out.greedy_{decay}_masked_count"])
    left = counts[0, 0] - torch.tensor(greedy(golden).counts(golden.model.system.layout)).cumsum(0)
    assert [*counts[1:, 0].tolist(), 0] == left.tolist()


def test_sharpened_generation(golden: Golden) -> None:
    """With the annealing of logits that the published sizes are drawn with."""
    given, tokens = generated(golden, greedy(golden, falling(0.0, 1).divisor), schedules(golden)["linear"], Pick())
    assert torch.equal(torch.stack(given), golden.io["out.greedy_linear_anneal_step_input_ids"])
    assert torch.equal(tokens, golden.io["out.greedy_linear_anneal_tokens"])


def test_generation_with_recorded_noise(golden: Golden) -> None:
    """Gumbel noise on logits and once more on confidences."""
    order = replace(falling(golden.config["randomize_temperature"], golden.steps), divisor=(1.0, 1.0))
    given, tokens = generated(golden, order, schedules(golden)["linear"], Replay(golden.io["in.u_logits"]))
    assert torch.equal(torch.stack(given), golden.io["out.noise_linear_step_input_ids"])
    assert torch.equal(tokens, golden.io["out.noise_linear_tokens"])


def test_generate_takes_this_road(golden: Golden) -> None:
    """What users call draws the recorded ids too."""
    with ordered(golden.model, greedy(golden)):
        *_, last = golden.model.stream(golden.io["in.labels"], guidance=schedules(golden)["linear"])
    assert torch.equal(last.decoding.tokens.data, golden.io["out.greedy_linear_tokens"])


def test_keys_go_there_and_back(golden: Golden) -> None:
    back = golden.keys.to_theirs(golden.model.network.state_dict())
    assert back.keys() == golden.official.keys()
    assert all(torch.equal(back[key], value) for key, value in golden.official.items())


def published() -> dict[str, tuple[Recordings, dict[str, Any]]]:
    """Family and entry of every published size, by name."""
    return {name: (family, entry) for family in FAMILIES for name, entry in family.published.items()}


def size_of(entry: dict[str, Any]) -> System:
    """Our size for a published file."""
    return next(SIZES[size] for size, files in PUBLISHED.items() if set(files) & set(entry["checkpoint_files"]))


@pytest.mark.parametrize("name", published())
def test_every_published_key_and_shape(name: str) -> None:
    family, entry = published()[name]
    network = assert_published(size_of(entry).network, FAMILIES[family], entry["state_dict"])
    assert sum(p.numel() for p in network.parameters()) == entry["n_parameters"]


@pytest.mark.parametrize("name", published())
def test_every_published_setting(name: str) -> None:
    """Backbone, alphabet, sites, steps, noise and guidance are those of the published configuration."""
    family, entry = published()[name]
    official = entry["constructor"]["config"]["model"]
    size, expected, drawn = size_of(entry), system_of(official, family.name), official["generator"]
    assert (size.tokenizer.unit, size.layout.sites) == (expected.tokenizer.unit, expected.layout.sites)
    assert size.condition == expected.condition
    assert size.backbone.mixer == expected.backbone.mixer  # type: ignore[attr-defined]
    assert size.order == falling(drawn["randomize_temperature"], entry["constructor"]["num_sample_steps"])
    steps = size.order.counts(size.layout)
    guided = {
        "linear": Ramp(from_extra(drawn["guidance_scale"])),
        "power-cosine": CosineRamp(drawn["guidance_scale"], 3.0),
    }
    assert size.guidance.scales(steps) == guided[drawn["guidance_decay"]].scales(steps)


@next(iter(FAMILIES)).needed
def test_published_files_are_those_of_the_manifest() -> None:
    files = {file for _, entry in published().values() for file in entry["checkpoint_files"]}
    assert {file for files in PUBLISHED.values() for file in files} == files
