"""Infinity and its tokenizer against recorded outputs of the official code, and the key maps against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, scales, guidance and flips come from them. Tolerances from the README: 2e-4
for logits, 5e-5 for pixels and latents, bits exactly. Generated pictures get 5e-4, since the README measured up to 1.8e-4 for float32
against float64 there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nextset import Model, Pick, UsageError
from nextset.backbones import Transformer
from nextset.conditions.attended import AttendedModule
from nextset.decode import Guidance
from nextset.family import Arguments
from nextset.folders import load_exactly
from nextset.heads.independent import IndependentModule
from nextset.layout import Layout, Tokens, pyramid
from nextset.nn.rotary import Rotary
from nextset.objectives import SelfCorrection
from nextset.official import bsq
from nextset.official.infinity import FAMILY, PUBLISHED, keys, read
from nextset.systems.infinity import SIZES
from nextset.tokenizers.bsq import MultiScaleBSQ, MultiScaleBSQModule
from nextset.tokenizers.templates import template
from nextset.weights import load_official
from nextset.weights.official import shapes

from .recordings import Recorder, Recordings, assert_published, near

RECORDED = Recordings("infinity")
pytestmark = RECORDED.needed
LOGITS, LATENTS, PICTURES = 2e-4, 5e-5, 5e-4
ROLES, NAMES = ("network", "tokenizer"), ("infinity", "vae")
RUNS = {run["name"]: run for run in RECORDED.read("config.json").get("runs", ())}


@dataclass(frozen=True)
class Listed(Guidance):
    """A scale for every step, as the official code takes them, and the block after which it acts (0: at the end)."""

    each: tuple[float, ...]
    block: int = 0

    @property
    def seam(self) -> int | None:
        """None at the end."""
        return self.block or None

    def at(self, step: int, steps: int, done: int, sites: int, size: int) -> float:
        """As listed."""
        return self.each[step]


@dataclass(frozen=True)
class Golden:
    """The recordings, and our model with their weights."""

    config: dict[str, Any]
    io: dict[str, Tensor]
    model: Model

    @property
    def module(self) -> MultiScaleBSQModule:
        assert isinstance(self.model.tokenizer, MultiScaleBSQModule)
        return self.model.tokenizer

    @property
    def head(self) -> IndependentModule:
        assert isinstance(self.model.network.head, IndependentModule)
        return self.model.network.head

    @property
    def layout(self) -> Layout:
        return self.model.system.layout

    def each(self, name: str) -> list[Tensor]:
        """The recordings `name`0, `name`1, ... of all scales."""
        found = [self.io[f"{name}{k}"] for k in range(len(self.layout.blocks)) if f"{name}{k}" in self.io]
        assert found, name
        return found

    def folded(self, name: str) -> Tensor:
        """Recordings `name`0, ... (B, 1, h, w, d) on the tokenizer's maps, as tokens (B, N, Q)."""
        return self.module.folded([part[:, 0].movedim(-1, 1) for part in self.each(name)])

    def heard(self, name: str) -> tuple[Tensor, Tensor]:
        """Captions `name`_features, as (B, T, E) and a mask."""
        lengths = self.io[f"{name}_lens"].tolist()
        parts = self.io[f"{name}_features"].split(lengths)
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True), mask

    def prepared(self, name: str = "text") -> Tensor:
        return self.model.network.condition.prepare(self.heard(name), None, self.model.device)

    def logits(self, tokens: Tensor) -> Tensor:
        """Teacher-forced logits (B, N, Q, 2) of bits."""
        network = self.model.network
        plan = network.plan(0, len(tokens), self.model.device)
        return self.head.logits(network.hidden(tokens, network.condition(self.prepared()), plan))


def official(config: Mapping[str, Any], ending: str) -> dict[str, Any]:
    """The arguments of the constructor whose path ends so."""
    (found,) = (arguments for path, arguments in config.items() if path.endswith(ending))
    return dict(found)


@pytest.fixture(scope="module")
def golden() -> Golden:
    config = RECORDED.read("config.json")
    vae, weights = (RECORDED.tensors(name) for name in ("weights_vae", "weights_infinity"))
    given = config["constructor"]
    coder = bsq.read(
        Arguments("weights_vae", shapes(vae), official(given, ".vae_model") | given["args overridden inside vae_model"])
    )
    system = read(Arguments("weights_infinity", shapes(weights), official(given, ".Infinity")), coder)
    assert isinstance(system.tokenizer, MultiScaleBSQ)
    sides = tuple((height, width) for _, height, width in config["scale_schedule"])
    tokenizer = replace(system.tokenizer, sides=sides)
    assert [list(side) for side in config["vae_scale_schedule"]] == [
        [1, tokenizer.patch * height, tokenizer.patch * width] for height, width in sides
    ]
    height, width = sides[-1]
    size = (height * tokenizer.pixels, width * tokenizer.pixels)
    model = replace(system, tokenizer=tokenizer, size=size).build().eval()
    load_exactly(model.tokenizer, bsq.keys(tokenizer).to_ours(vae), "weights_vae")
    load_exactly(model.network, keys().to_ours(weights), "weights_infinity")
    return Golden(config, RECORDED.tensors("io"), model)


# -- the tokenizer


@torch.no_grad()
def test_latents(golden: Golden) -> None:
    near(golden.module.latents(golden.io["tok_pixels"]), golden.io["tok_encoder_out"], LATENTS)


@torch.no_grad()
def test_residuals(golden: Golden) -> None:
    """Bits of every scale exactly, the sums after each (by area at the next), and the whole."""
    encoded = golden.module.encode(golden.io["tok_pixels"])
    assert torch.equal(encoded.data, golden.folded("tok_bits_scale"))
    found = golden.module.quantise(golden.io["tok_encoder_out"], golden.layout)
    assert torch.equal(golden.module.folded(found.bits).long(), encoded.data)
    near(found.sums[-1], golden.io["tok_quant"], LATENTS)
    for k, (total, theirs) in enumerate(zip(found.sums, golden.each("tok_var_input_area_scale"), strict=False)):
        map_ = golden.config["vae_scale_schedule"][k + 1][1:]
        near(F.interpolate(total, map_, mode="area"), theirs[:, :, 0], LATENTS)


@torch.no_grad()
def test_one_sphere(golden: Golden) -> None:
    """One map, quantised once."""
    given = golden.io["bsq_in"][:, :, 0]
    height, width = given.shape[2:]
    single = replace(golden.module.spec, patch=1).build()
    found = single.quantise(given, pyramid((height, width)))
    near(found.sums[0], golden.io["bsq_quantized"][:, :, 0], LATENTS)
    assert torch.equal(found.bits[0].movedim(1, -1)[:, None].long(), golden.io["bsq_bits"])
    near(single.codes(found.bits[0]), golden.io["bsq_codes_from_bits"][:, :, 0], LATENTS)


@torch.no_grad()
def test_pictures(golden: Golden) -> None:
    tokens = Tokens(golden.folded("tok_bits_scale"), golden.layout)
    raw = golden.module.decode(tokens)
    near(golden.module.paint(golden.io["tok_quant"]), golden.io["tok_decoder_raw"], LATENTS)
    near(raw.clamp(-1, 1), golden.io["tok_recon_from_bits"], LATENTS)
    near(raw.clamp(-1, 1), golden.io["tok_recon"], LATENTS)
    near(golden.module.sums(tokens)[-1], golden.io["tok_summed_codes"][:, :, 0], LATENTS)


# -- self-correction


def flips(golden: Golden) -> Tensor:
    """Which bits were flipped, (B, N, Q) bool."""
    recorded, uniform = golden.config["bsc"], []
    for k, block in enumerate(golden.each("tok_bits_scale")):
        drawn = golden.io.get(f"bsc_uniform_scale{k}")
        share = recorded["strengths"][k] * 0.01 if drawn is not None else 0.0
        uniform.append((torch.ones(block.shape) if drawn is None else drawn) < share)
    return golden.module.folded([part[:, 0].movedim(-1, 1) for part in uniform])


@torch.no_grad()
@pytest.mark.parametrize("name", ["bsc0", "bsc"])
def test_self_correction(golden: Golden, name: str) -> None:
    """Labels exactly, and what the next scale is predicted from."""
    flipped = flips(golden) if name == "bsc" else flips(golden) & False
    labels = golden.module.corrected(golden.io["tok_pixels"], golden.layout, flipped)
    assert torch.equal(labels.data, golden.io[f"{name}_gt_bits"])
    given = Tokens(labels.data ^ flipped.long(), golden.layout)
    context = golden.module.feedback(given, range(1, len(golden.layout.blocks)))
    near(context, golden.io[f"{name}_x_BLC_wo_prefix"], LATENTS)


def test_flips_are_drawn_as_there(golden: Golden) -> None:
    """One share of 0 .. strength for every scale that is flipped at all, none after these."""
    recorded = golden.config["bsc"]
    objective = SelfCorrection(recorded["noise_apply_strength"], recorded["noise_apply_layers"])
    starts = (0, *golden.layout.ends)
    shares = set()
    for seed in range(40):
        drawn = objective.flips(64, golden.module.spec.unit.codes, golden.layout, seed)
        each = [drawn[:, a:b].double().mean().item() for a, b in zip(starts, golden.layout.ends, strict=False)]
        assert all(share == 0 for share in each[objective.scales :])
        assert all(share < objective.strength + 0.05 for share in each)
        shares.add(round(100 * each[min(objective.scales, len(each)) - 1]))
    assert len(shares) > 10


# -- the generator


@torch.inference_mode()
def test_teacher_forced_logits(golden: Golden) -> None:
    """On the bits of pictures, and on flipped ones; and what each bit then costs."""
    plain = golden.logits(golden.io["bsc0_gt_bits"])
    near(plain.flatten(2), golden.io["gen_tf_logits"], LOGITS)
    flipped = golden.io["bsc_gt_bits"] ^ flips(golden).long()
    near(golden.logits(flipped).flatten(2), golden.io["gen_tf_logits_bsc"], LOGITS)
    costs = F.cross_entropy(plain.movedim(-1, 1), golden.io["bsc0_gt_bits"], reduction="none")
    near(costs, golden.io["gen_bit_ce"], LOGITS)


@torch.no_grad()
def test_the_loss_weighs_scales(golden: Golden) -> None:
    """The objective is the recorded cost of bits, weighed by one over the root of each scale's area."""
    network, tokens = golden.model.network, Tokens(golden.io["bsc0_gt_bits"], golden.layout)
    areas = [math.prod(block) for block in golden.layout.blocks]
    weights = torch.cat([torch.full((area,), area**-0.5) for area in areas])
    expected = (golden.io["gen_bit_ce"].mean(-1) * weights / weights.sum()).sum(1).mean()
    loss = golden.model.system.objective.loss(network, tokens, golden.prepared(), 0)["loss"]
    near(loss, expected, LOGITS)


@torch.inference_mode()
def test_condition(golden: Golden) -> None:
    """The pooled vector, and what blocks read, token by token without padding."""
    module = golden.model.network.condition
    assert isinstance(module, AttendedModule)
    found = module(golden.prepared())
    assert found.vector is not None
    assert found.heard is not None
    near(found.vector, golden.io["gen_cond_BD"], LOGITS)
    near(found.heard[found.audible], golden.io["gen_ca_kv"], LOGITS)


def test_positions(golden: Golden) -> None:
    """Cosines and sines of all sites of the largest maps, of which the model's own are the first."""
    backbone = golden.model.system.backbone
    assert isinstance(backbone, Transformer)
    height, width = golden.layout.blocks[-1]
    whole = pyramid(*template(height / width))
    theirs = golden.io["gen_rope_cos_sin"]
    for layout in (golden.layout, whole):
        rotary = backbone.turning.build(layout, 2 * theirs.shape[-1], backbone.rotary_base)
        assert isinstance(rotary, Rotary)
        turns = rotary(torch.arange(layout.sites))
        near(turns.real, theirs[0, : layout.sites], LATENTS)
        near(turns.imag, theirs[1, : layout.sites], LATENTS)


@pytest.mark.parametrize("name", RUNS)
def test_generation_through_the_cache(golden: Golden, name: str) -> None:
    """Bits exactly (replayed where they were drawn), the guided logits that decided them, the sums and the picture."""
    run = golden.config["runs"][list(RUNS).index(name)]
    if len(run["cfg_insertion_layer"]) != 1:
        pytest.skip("guidance acts in one place here")
    bits = golden.each(f"{name}_bits_scale")
    recorder = Recorder() if run["greedy"] else Recorder(bits)
    *_, last = golden.model.stream(
        golden.heard("text"),
        guidance=Listed(tuple(map(float, run["cfg_list"])), *run["cfg_insertion_layer"]),
        negative=golden.heard("neg") if run.get("negative") else None,
        pick=recorder,
    )
    assert torch.equal(last.decoding.tokens.data, torch.cat(bits, 1))
    for ours, theirs, tau in zip(recorder.seen, golden.each(f"{name}_logits_scale"), run["tau_list"], strict=True):
        near(ours.flatten(2) / tau, theirs, LOGITS)
    near(golden.module.sums(last.decoding.tokens)[-1], golden.io[f"{name}_summed_codes"], LATENTS)
    near(last.images(), golden.io[f"{name}_decoded"], PICTURES)
    if f"{name}_image_uint8_bgr" in golden.io:
        image = ((last.images() + 1) / 2 * 255).to(torch.uint8).movedim(1, -1).flip(-1)
        assert (image.long() - golden.io[f"{name}_image_uint8_bgr"]).abs().max() <= 1


def test_filters_keep_the_same_bits(golden: Golden) -> None:
    """What is drawn where bits are sampled is never what top-k and top-p exclude."""
    for name, run in RUNS.items():
        if not run["greedy"]:
            pick = Pick(run["tau_list"][0], run["top_k"], run["top_p"])
            for logits, bits in zip(
                golden.each(f"{name}_logits_scale"), golden.each(f"{name}_bits_scale"), strict=True
            ):
                chances = replace(pick, temperature=1.0).probabilities(logits.unflatten(2, (-1, 2)))
                assert (chances.gather(-1, bits[..., None]) > 0).all()


# -- official files


def loaded(config: Mapping[str, Any]) -> Model:
    """Both files by the door, with the arguments as they lie there, on the maps of `pn`."""
    given = config["constructor"]
    model = load_official(
        "infinity",
        {part: RECORDED.folder / f"weights_{name}.safetensors" for part, name in zip(ROLES, NAMES, strict=True)},
        {
            "network": official(given, ".Infinity"),
            "tokenizer": official(given, ".vae_model") | given["args overridden inside vae_model"],
        },
    )
    assert isinstance(model, Model)
    return model


def test_the_door_reads_both_files(golden: Golden) -> None:
    """At the recorded size it draws what the golden model draws."""
    same = loaded(golden.config).under(golden.model.system)
    drawn = [m.generate(golden.heard("text"), seed=1) for m in (same, golden.model)]
    assert torch.equal(*drawn)


def test_keys_go_there_and_back(golden: Golden) -> None:
    chunks = official(golden.config["constructor"], ".Infinity")["block_chunks"]
    for file, module, names in (
        ("weights_infinity", golden.model.network, keys(chunks)),
        ("weights_vae", golden.module, bsq.keys(golden.module.spec)),
    ):
        theirs = RECORDED.tensors(file)
        back = names.to_theirs(module.state_dict())
        assert back.keys() == theirs.keys()
        for key, value in theirs.items():
            assert torch.equal(back[key], value), key


def test_older_names_of_the_tokenizer(golden: Golden) -> None:
    """Convolutions and norms one name less deep are the same tensors."""
    theirs = RECORDED.tensors("weights_vae")
    older = {key.replace(".norm.", ".").replace("conv.conv.", "conv."): value for key, value in theirs.items()}
    older = {key.replace(".conv.", ".") if "sample" not in key else key: value for key, value in older.items()}
    assert "encoder.conv_in.weight" in older
    assert bsq.read(Arguments("old", shapes(older))) == bsq.read(Arguments("new", shapes(theirs)))
    state = golden.module.state_dict()
    found = bsq.keys(golden.module.spec).to_ours(older)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], value) for key, value in state.items())


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    """Both ways, on the meta device; sizes are those that SIZES says, and those that shapes and arguments show."""
    entry = RECORDED.published[name]
    shown = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    arguments = dict(entry["constructor"])
    if "vae_model" in arguments:
        coder = bsq.read(Arguments(name, shown, arguments["vae_model"]))
        assert any(replace(coder, patch=known.patch) == known for known in bsq.CODER.sizes.values())
        module = assert_published(coder.build, bsq.keys(coder), entry["state_dict"])
    else:
        bits = arguments.pop("vae codebook_dim")
        coder = next(known for known in bsq.CODER.sizes.values() if known.dim == bits)
        system = read(Arguments(name, shown, arguments), coder)
        (size,) = (size for size, of in PUBLISHED.items() if entry["file"].startswith(of.network.partition(":")[2]))
        assert system == SIZES[size]
        module = assert_published(system.network, FAMILY.keys(system), entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["parameters"]


def test_published_files_are_those_of_the_manifest() -> None:
    said = " ".join(entry["file"] for entry in RECORDED.published.values())
    files = [file for of in (*PUBLISHED.values(), *bsq.CODER.published.values()) for file in of.files]
    assert all(file.partition(":")[2] in said for file in files)


def test_what_there_is_no_counterpart_of(golden: Golden) -> None:
    """Other values of what is done in one way only are refused by name, and so is another tokenizer."""
    weights = shapes(RECORDED.tensors("weights_infinity"))
    given = official(golden.config["constructor"], ".Infinity")
    for name, value in (("rms_norm", True), ("use_bit_label", 0), ("rope2d_normalized_by_hw", 1), ("pn", "2M")):
        with pytest.raises(UsageError, match=name):
            read(Arguments("file", weights, given | {name: value}), golden.module.spec)
    with pytest.raises(UsageError, match="tokenizer does not belong"):
        read(Arguments("file", weights, given), replace(golden.module.spec, dim=golden.module.spec.dim + 1))
