"""RAR against recorded outputs of the official code, and its key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, orders and scales come from them. Tolerances from the README: 1e-4 for
logits (measured noise 1.2e-5), 2e-5 for probabilities, 2e-6 for scales, ids exactly.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, UsageError
from nextset.decode import Constant, Guidance, PowerCosine
from nextset.family import Arguments
from nextset.official.rar import FAMILY, KEYS, PUBLISHED, read
from nextset.orders import Plan
from nextset.systems.rar import SIZES
from nextset.tokenizers.maskgit_vq import MaskGITVQ
from nextset.weights import load_official

from .recordings import Recorder, Recordings, assert_files, assert_published, assert_read, near, size_of

RECORDED = Recordings("rar")
FILE = RECORDED.folder / "weights.safetensors"
pytestmark = RECORDED.needed
LOGITS, PROBABILITIES, SCALES = 1e-4, 2e-5, 2e-6
UNUSED = {"embeddings.weight", "pos_embed", "target_aware_pos_embed", "timesteps_embeddings"}  # with rows nobody reads


@pytest.fixture(scope="module")
def official() -> dict[str, Tensor]:
    return RECORDED.tensors("weights")


def said(config: dict[str, Any]) -> dict[str, Any]:
    """The official constructor arguments, without dropout, as the calls were."""
    return config["config"] | {"dropout": 0.0, "attn_drop": 0.0}


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> Model:
    """The official weights, without their tokenizer."""
    built = load_official("rar", FILE, said(config))
    assert isinstance(built, Model)
    return built


@torch.inference_mode()
def logits(model: Model, io: dict[str, Tensor], orders: Tensor | None, classes: bool = True) -> Tensor:
    """Teacher-forced logits (B, N, V) by rank of `orders` (None: raster); without `classes` those of the null class."""
    network, sites = model.network, model.system.layout.sites
    prepared = network.condition.prepare(io["in.labels"] if classes else None, len(io["in.tokens"]), model.device)
    plan = Plan(torch.arange(sites) if orders is None else orders, (1,) * sites)
    return network.head.logits(network.hidden(io["in.tokens"], network.condition(prepared), plan))


@pytest.mark.parametrize(
    ("name", "shuffled", "classes"),
    [
        ("logits_raster", False, True),
        ("logits_random", True, True),
        ("logits_uncond", False, False),
        ("logits_random_uncond", True, False),
    ],
)
def test_teacher_forced_logits(name: str, shuffled: bool, classes: bool, model: Model, io: dict[str, Tensor]) -> None:
    """By rank, in raster and in recorded orders. The official code's last row lies beyond the picture."""
    found = logits(model, io, io["in.orders"] if shuffled else None, classes)
    near(found, io[f"out.{name}"][:, : found.shape[1]], LOGITS)


@pytest.mark.parametrize(("name", "shuffled"), [("prefix_sampling", False), ("prefix_sampling_order", True)])
def test_logits_after_half_of_the_tokens(name: str, shuffled: bool, model: Model, io: dict[str, Tensor]) -> None:
    """Whatever lies at later sites."""
    expected = io[f"out.logits_{name}"]
    orders = io["in.orders"] if shuffled else torch.arange(io["in.tokens"].shape[1]).expand_as(io["in.orders"])
    late = orders[:, expected.shape[1] - 1 :]
    found = logits(model, io | {"in.tokens": io["in.tokens"].scatter(1, late, 0)}, orders)
    near(found[:, : expected.shape[1]], expected, LOGITS)


def test_condition_ids(model: Model, io: dict[str, Tensor], official: dict[str, Tensor]) -> None:
    """Theirs are rows of one table, ours of a table of classes: the same vectors, also without a class."""
    embed, labels = model.network.condition.embed, io["in.labels"]
    for name, ours in (
        ("condition_ids", labels),
        ("none_condition_ids", torch.full_like(labels, len(embed.weight) - 1)),
    ):
        assert torch.equal(embed(ours), official["embeddings.weight"][io[f"out.{name}"].flatten()])


def test_guided_logits(model: Model, io: dict[str, Tensor], config: dict[str, Any]) -> None:
    null, conditional = (logits(model, io, None, classes) for classes in (False, True))
    found = null.lerp(conditional, config["guidance_scale"])
    near(found, io["out.logits_cfg"][:, : found.shape[1]], LOGITS)


def test_loss(model: Model, io: dict[str, Tensor]) -> None:
    target = io["in.tokens"].gather(1, io["in.orders"])
    assert torch.equal(target, io["out.labels_random"])
    assert torch.equal(io["in.tokens"], io["out.labels_raster"])
    found = torch.nn.functional.cross_entropy(logits(model, io, io["in.orders"]).flatten(0, 1), target.flatten())
    near(found, io["out.ce_random"][0], LOGITS)


def schedule(name: str, config: dict[str, Any]) -> Guidance:
    """What a run's name says; a power of 0 is a constant scale."""
    powers = {"pow": config["guidance_scale_pow"], "const": 0.0}
    return Constant(1.0) if name == "nocfg" else PowerCosine(config["guidance_scale"], powers[name])


@pytest.mark.parametrize("name", RECORDED.runs(r"out\.cfg_scales_(\w+)"))
def test_scales(name: str, io: dict[str, Tensor], config: dict[str, Any]) -> None:
    recorded = io[f"out.cfg_scales_{name}"]
    found = schedule(name, config).scales((1,) * len(recorded))
    near(torch.tensor(found), recorded, SCALES)


@pytest.mark.parametrize("name", RECORDED.runs(r"out\.greedy_(\w+)_tokens"))
def test_greedy_generation(name: str, model: Model, io: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Ids exactly, and the probabilities that decided them, through our engine and its cache."""
    recorder, temperature = Recorder(), 1.0 if name == "nocfg" else config["randomize_temperature"]
    *_, last = model.stream(io["in.labels"], guidance=schedule(name, config), pick=recorder)
    assert torch.equal(last.decoding.tokens.data, io[f"out.greedy_{name}_tokens"])
    near((recorder.logits / temperature).softmax(-1), io[f"out.greedy_{name}_step_probs"], PROBABILITIES)


def test_weights_go_back(model: Model, official: dict[str, Tensor]) -> None:
    """To the bit, but for the rows that nothing reads: those come back as zeros."""
    back = KEYS.to_theirs(model.network.state_dict())
    assert back.keys() == official.keys()
    for key, value in official.items():
        assert back[key].shape == value.shape
        same = (back[key] == value).all(-1)
        assert same.all() or key in UNUSED
        assert back[key][~same].eq(0).all()
    classes = model.system.condition.classes  # type: ignore[attr-defined]
    unread = {key: int((back[key] != official[key]).any(-1).sum()) for key in UNUSED}
    sites, vocab = model.system.layout.sites, model.system.tokenizer.unit.vocab  # type: ignore[union-attr]
    assert len(official["embeddings.weight"]) == vocab + 1 + classes + 1
    assert unread == {
        "embeddings.weight": 1,
        "pos_embed": official["pos_embed"].shape[1] - sites - 2,
        "target_aware_pos_embed": official["target_aware_pos_embed"].shape[1] - sites,
        "timesteps_embeddings": official["timesteps_embeddings"].shape[1] - sites - 1,
    }


def test_the_shapes_show_all_sizes(model: Model) -> None:
    """A file alone is the same model, but for what only a training would show."""
    alone = load_official("rar", FILE)
    assert isinstance(alone, Model)
    drops = {"backbone.dropout", "backbone.feedforward.inner", "condition.dropout"}
    assert {field for field, _, _ in alone.system.diff(model.system)} <= drops


@pytest.mark.parametrize(
    "name", ["num_hidden_layers", "num_attention_heads", "image_seq_len", "codebook_size", "attn_drop"]
)
def test_a_config_that_is_not_of_the_file_is_refused(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=name):
        load_official("rar", FILE, said(config) | {name: -1})


def test_a_tokenizer_of_other_codes_is_refused(config: dict[str, Any], official: dict[str, Tensor]) -> None:
    shapes = {key: tuple(value.shape) for key, value in official.items()}
    with pytest.raises(UsageError, match="does not belong to the generator"):
        read(Arguments("file", shapes, said(config)), MaskGITVQ(vocab=len(official["lm_head.weight"]) + 1))


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_size(name: str) -> None:
    """What shapes and arguments say is our size, and how it is drawn; the map gives the official list, and takes it."""
    entry = RECORDED.published[name]
    system = SIZES[size_of(PUBLISHED, entry)]
    assert_read(FAMILY, entry, entry["constructor"], system, drawn=())
    assert_published(system.network, KEYS, entry["state_dict"])


def test_published_files_are_those_of_the_manifest() -> None:
    assert_files(PUBLISHED, RECORDED.published.values())
