"""RQ-VAE and RQ-Transformer against recorded outputs of the official code, and their key maps against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, temperatures and places come from them. Tolerances from the README: 1e-4
for logits, 5e-5 for pixels, ids exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, Pick, UsageError
from nextset.conditions.words import WordsModule
from nextset.decode import decode
from nextset.decode.guidance import Constant
from nextset.decode.loop import Clamp
from nextset.heads.depth import DepthTransformerModule
from nextset.layout import Tokens, blank
from nextset.noise import Noise
from nextset.official.rqvae import FAMILY, KEYS, PUBLISHED, read_tokenizer, tokenizer_keys
from nextset.systems.rqvae import SIZES
from nextset.tokenizers.rq import RQModule
from nextset.weights import load_official
from nextset.weights.families import blueprint, named
from nextset.weights.official import Found, _published

from .recordings import Recorder, Recordings, arguments, assert_published, assert_read, near

RECORDED = Recordings("rqtransformer")
pytestmark = RECORDED.needed
LOGITS, PIXELS = 1e-4, 5e-5


CONFIG, MANIFEST = RECORDED.read("config.json"), RECORDED.published
TRANSFORMERS = {"gen": "weights_rqt", "text": "weights_rqt_text"}
TOKENIZER = RECORDED.folder / "weights_rqvae.safetensors"


def said(role: str, name: str = "") -> dict[str, Any]:
    """The official constructor arguments of the tokenizer, or of a recorded transformer."""
    words = {"tokenizer": "get_rqvae", "network": f"({TRANSFORMERS.get(name)})"}
    return next(value for key, value in CONFIG["constructor"].items() if words[role] in key)


def files(name: str) -> dict[str, Path]:
    return {"network": RECORDED.folder / f"{TRANSFORMERS[name]}.safetensors", "tokenizer": TOKENIZER}


def config_of(name: str) -> dict[str, Any]:
    return {"network": said("network", name), "tokenizer": said("tokenizer")}


@dataclass(frozen=True)
class Golden:
    """The recordings and our tokenizer with its weights."""

    config: dict[str, Any]
    io: dict[str, Tensor]
    official: dict[str, Tensor]
    module: RQModule


@dataclass(frozen=True)
class Transformer:
    """One recorded transformer: the prefix of its outputs, what it was asked, and our model of it."""

    name: str
    asked: Tensor
    model: Model
    official: dict[str, Tensor]


@pytest.fixture(scope="module")
def golden() -> Golden:
    module = load_official("rqvae", {"tokenizer": TOKENIZER}, said("tokenizer"))
    assert isinstance(module, RQModule)
    return Golden(CONFIG, RECORDED.tensors("io"), RECORDED.tensors("weights_rqvae"), module)


@pytest.fixture(scope="module", params=TRANSFORMERS)
def transformer(request: pytest.FixtureRequest, golden: Golden) -> Transformer:
    name, asked = request.param, {"gen": "gen_labels", "text": "text_ids"}[request.param]
    model = load_official("rqvae", files(name), config_of(name))
    assert isinstance(model, Model)
    return Transformer(name, golden.io[asked], model, RECORDED.tensors(TRANSFORMERS[name]))


def flat(ids: Tensor) -> Tensor:
    """Recorded ids (B, h, w, Q) by site, (B, N, Q)."""
    return ids.flatten(1, 2)


# the tokenizer


@torch.no_grad()
def test_latents_ids_and_sums(golden: Golden) -> None:
    io, module = golden.io, golden.module
    near(module.encoder(io["tok_pixels"]), io["tok_encoder_out"], PIXELS)
    latents = module.latents(io["tok_pixels"])
    near(latents, io["tok_latent"], PIXELS)
    found = module.quantise(latents)
    assert torch.equal(found.ids, io["tok_ids"])
    assert torch.equal(module.encode(io["tok_pixels"]).data, flat(io["tok_ids"]))
    for depth, total in enumerate(found.sums):
        near(total, io[f"tok_quant_cum{depth}"], PIXELS)
    near(found.sums[-1], io["tok_quant"], PIXELS)
    near(found.commitment, io["tok_commit_loss"][0], PIXELS)
    near(module.embed(io["tok_ids"]), io["tok_code_emb_with_depth"], PIXELS)


@torch.no_grad()
def test_pixels(golden: Golden) -> None:
    """Of all codes, of every prefix of them, and of one code alone."""
    io, module = golden.io, golden.module
    ids, layout = flat(io["tok_ids"]), module.encode(io["tok_pixels"]).layout
    near(module.decode(Tokens(ids, layout)), io["tok_decode_code"], PIXELS)
    for depth in range(ids.shape[2]):
        near(module.decode(Tokens(ids[..., : depth + 1], layout)), io[f"tok_decode_partial_add{depth}"], PIXELS)
    for code in [code for code in range(ids.shape[2]) if f"tok_decode_partial_select{code}" in io]:
        alone = module.paint(module.embed(io["tok_ids"])[..., code, :])
        near(alone, io[f"tok_decode_partial_select{code}"], PIXELS)


@torch.no_grad()
def test_soft_codes(golden: Golden) -> None:
    """The official training may spread targets by distance: ours are hard, but the distances of what is left are these."""
    io, module = golden.io, golden.module
    latents = module.latents(io["tok_pixels"])
    left = [latents, *(latents - total for total in module.quantise(latents).sums[:-1])]
    distances = torch.stack([module.book(code).distances(rest) for code, rest in enumerate(left)], -2)
    near((-distances / golden.config["sampling"]["soft_temp"]).softmax(-1), io["tok_soft_codes"], PIXELS)


@torch.no_grad()
def test_tokenizer_losses(golden: Golden) -> None:
    io, figures = golden.io, golden.module.loss(golden.io["tok_pixels"])
    near(figures["reconstruction"], io["tok_recon"], PIXELS)
    near(figures["pixel"], io["tok_loss_recon"][0], PIXELS)
    near(figures["loss"], io["tok_loss_total"][0], PIXELS)


def test_tokenizer_keys_go_there_and_back(golden: Golden) -> None:
    """Every value, but for the row of padding, which nothing reads."""
    back = tokenizer_keys(golden.module.spec).to_theirs(golden.module.state_dict())
    assert back.keys() == golden.official.keys()
    for key, value in golden.official.items():
        assert back[key].shape == value.shape
        rows = len(value) - 1 if key.endswith(".weight") and ".codebooks." in key else len(value)
        assert torch.equal(back[key][:rows], value[:rows]), key


# the transformer


def teacher_forced(t: Transformer, ids: Tensor) -> Tensor:
    """Logits (B, N, Q, V) by site."""
    network = t.model.network
    assert isinstance(network.head, DepthTransformerModule)
    plan = network.plan(0, len(ids), ids.device)
    with torch.no_grad():
        return network.head.logits(network.hidden(ids, network.condition(t.asked), plan), ids)


def test_teacher_forced_logits_and_losses(transformer: Transformer, golden: Golden) -> None:
    io, name = golden.io, transformer.name
    ids = flat(io["gen_ids"])
    logits = teacher_forced(transformer, ids)
    near(logits.unflatten(1, io["gen_ids"].shape[1:3]), io[f"{name}_tf_logits"], LOGITS)
    costs = torch.nn.functional.cross_entropy(logits.flatten(0, 2), ids.flatten(), reduction="none").view(ids.shape)
    near(costs.mean(), io[f"{name}_ce_loss"][0], LOGITS)
    near(costs.mean((0, 1)), io[f"{name}_codebook_loss"], LOGITS)
    if f"{name}_soft_ce_loss" in io:  # as many codes as pictures were encoded
        soft = torch.nn.functional.cross_entropy(logits.flatten(0, 2), io["tok_soft_codes"].flatten(0, 3))
        near(soft, io[f"{name}_soft_ce_loss"][0], LOGITS)
    log_prob = transformer.model.log_prob(Tokens(ids, transformer.model.system.layout), transformer.asked)
    near(-log_prob / ids[0].numel(), costs.mean((1, 2)), LOGITS)


def test_caption_logits_and_losses(transformer: Transformer, golden: Golden) -> None:
    network, io = transformer.model.network, golden.io
    if f"{transformer.name}_tf_cond_logits" not in io:
        pytest.skip("one word is not predicted")
    ids = flat(io["gen_ids"])
    assert isinstance(network.condition, WordsModule)
    with torch.no_grad():
        prefix, _ = network.hidden_with_prefix(
            ids, network.condition(transformer.asked), network.plan(0, len(ids), ids.device)
        )
        near(network.condition.logits(prefix), io[f"{transformer.name}_tf_cond_logits"], LOGITS)
        figures = transformer.model.system.objective.loss(
            network, Tokens(ids, network.layout), transformer.asked, seed=0
        )
    near(figures["caption"], io[f"{transformer.name}_cond_loss"][0], LOGITS)
    near(figures["image"], io[f"{transformer.name}_ce_loss"][0], LOGITS)


def drawn(t: Transformer, pick: Recorder, clamp: Clamp | None = None) -> Tensor:
    """Ids (B, N, Q) that the engine draws."""
    network, system, batch = t.model.network, t.model.system, len(t.asked)
    noise = Noise(0, range(batch))
    with torch.inference_mode():
        conditions = network.condition(t.asked), None
        start = blank(system.tokenizer.unit, system.layout, batch, torch.device("cpu"))
        plan, numbers = system.order.plan(system.layout, noise), network.head.draw(noise, system.layout.sites)
        *_, last = decode(network, plan, start, conditions, Constant(1.0), pick, numbers, clamp)
    return last.tokens.data


def test_greedy_generation_through_the_cache(transformer: Transformer, golden: Golden) -> None:
    io, name, recorder = golden.io, transformer.name, Recorder()
    ids = drawn(transformer, recorder)
    assert torch.equal(ids, flat(io[f"{name}_greedy_ids"]))
    near(recorder.logits, io[f"{name}_greedy_logits"], LOGITS)
    images = golden.module.decode(Tokens(ids, transformer.model.system.layout))
    near(images, io[f"{name}_greedy_image"], PIXELS)
    if f"{name}_greedy_ids_uncached" in io:
        assert torch.equal(ids, flat(io[f"{name}_greedy_ids_uncached"]))


def test_rows_that_are_given_stay(transformer: Transformer, golden: Golden) -> None:
    io, (row, column) = golden.io, golden.config["sampling"]["start_loc"]
    given = flat(io["gen_ids"])
    known = torch.arange(given.shape[1]) < row * io["gen_ids"].shape[2] + column
    ids = drawn(transformer, Recorder(), Clamp(known.expand(len(given), -1), given))
    assert torch.equal(ids, flat(io[f"{transformer.name}_prefix_greedy_ids"]))


def test_sampling_has_the_recorded_distributions(transformer: Transformer, golden: Golden) -> None:
    """The recorded draws replayed: logits before, and probabilities after temperature, top-k and top-p."""
    io, name, how = golden.io, transformer.name, golden.config["sampling"]
    recorder = Recorder(io[f"{name}_sample_ids"].flatten(1).split(1, dim=1))
    assert torch.equal(drawn(transformer, recorder), flat(io[f"{name}_sample_ids"]))
    near(recorder.logits, io[f"{name}_sample_logits"], LOGITS)
    pick = Pick(how["temperature"], how["top_k"] or 0, how["top_p"] or 1.0)
    near(pick.probabilities(recorder.logits), io[f"{name}_sample_probs"], LOGITS)


def test_keys_go_there_and_back(transformer: Transformer) -> None:
    back = KEYS.to_theirs(transformer.model.network.state_dict())
    assert back.keys() == transformer.official.keys()
    assert all(torch.equal(back[key], value) for key, value in transformer.official.items())


# the family


def test_what_the_shapes_do_not_show(transformer: Transformer) -> None:
    """Heads, the grid and the sharing of the codebook are asked for by their official names, dotted where there are several."""
    config = config_of(transformer.name)
    network, tokenizer = config["network"], {"shared_codebook": config["tokenizer"]["hparams"]["shared_codebook"]}
    few = {name: network[name] for name in ("block_size", "embd_pdrop") if name in network}
    few |= {part: {"block": network[part]["block"]} for part in ("body", "head")}
    kept = {name: config["tokenizer"]["hparams"][name] for name in ("latent_loss_weight", "decay")}
    shown = load_official("rqvae", files(transformer.name), {"network": few, "tokenizer": tokenizer | kept})
    assert isinstance(shown, Model)
    assert shown.system == transformer.model.system
    with pytest.raises(UsageError, match="do not show shared_codebook"):
        load_official("rqvae", files(transformer.name), {"network": few, "tokenizer": kept})
    for name, missing in (("body.block.n_head", few | {"body": {}}), ("block_size", few | {"block_size": None})):
        less = {key: value for key, value in missing.items() if value is not None}
        with pytest.raises(UsageError, match=f"do not show {name}"):
            load_official("rqvae", files(transformer.name), {"network": less, "tokenizer": tokenizer})
    with pytest.raises(UsageError, match="give both"):
        load_official("rqvae", files(transformer.name)["network"], network)


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        ("network", "embed_dim", 77),
        ("network", "vocab_size", 77),
        ("network", "block_size", [7, 7, 7]),
        ("network", "cumsum_depth_ctx", False),
        ("network", "block_size_cond", 77),
        ("network", "body", {"n_layer": 77, "block": {"n_head": 1}}),
        ("tokenizer", "n_embed", 77),
        ("tokenizer", "loss_type", "l1"),
    ],
)
def test_a_config_that_is_not_of_the_files_is_refused(role: str, name: str, value: Any) -> None:
    config = config_of("gen")
    inner = {"hparams": config["tokenizer"]["hparams"] | {name: value}} if role == "tokenizer" else {name: value}
    with pytest.raises(UsageError, match=name):
        load_official("rqvae", files("gen"), config | {role: config[role] | inner})


def test_another_family_has_such_tokenizers(golden: Golden) -> None:
    module = load_official("dnd-transformer", {"tokenizer": TOKENIZER}, said("tokenizer"))
    assert isinstance(module, RQModule)
    assert module.spec == golden.module.spec


# published sizes


def test_sizes_that_do_not_differ_need_no_name() -> None:
    """Files of two sets of pictures have the same shapes."""
    assert SIZES["cat"] == SIZES["bedroom"]
    state = blueprint(SIZES["cat"])
    assert _published(named("rqvae"), Found("model.pt", KEYS.to_theirs(state))) == SIZES["cat"]


@pytest.mark.parametrize("name", [name for name in MANIFEST if name.startswith("RQ-VAE")])
def test_published_tokenizers(name: str) -> None:
    """What shapes and arguments say is the tokenizer of a size of ours."""
    entry = MANIFEST[name]
    spec = read_tokenizer(arguments(entry, entry["constructor"]))
    assert spec in [size.tokenizer for size in SIZES.values()]
    assert_published(spec.build, tokenizer_keys(spec), entry["state_dict"])


@pytest.mark.parametrize("name", [name for name in MANIFEST if not name.startswith("RQ-VAE")])
def test_published_transformers(name: str) -> None:
    """What shapes and arguments say is a size of ours, under a file of the manifest."""
    entry = MANIFEST[name]
    size = SIZES[next(key for key, where in PUBLISHED.items() if where.network in re.split(r"[, /]+", entry["file"]))]
    assert_read(FAMILY, entry, entry["constructor"], size, ("pick",))
    network = assert_published(size.network, KEYS, entry["state_dict"])
    assert sum(p.numel() for p in network.parameters()) == entry["parameters"]
