"""MAR against recorded outputs of the official code: the transformer and whole chains with their noise; and every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, masks, orders, steps, scales and noise come from them. Tolerances from the
README: 1e-4 for hidden vectors, network outputs and pixels; chains relative to their deviation, 1e-4 where they start below the last level
of noise, 1e-3 where they start at it (which multiplies errors by 2e4).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nextset import Model, Pick, UsageError
from nextset.backbones import MaskedAutoencoder
from nextset.decode import Constant, Guidance, Proportional
from nextset.heads.diffusion import DiffusionModule
from nextset.mixers import BiasedAttention
from nextset.nn.diffusion import Strided
from nextset.nn.masking import Cosine
from nextset.official.mar import FAMILY, KEYS, PUBLISHED, spacing
from nextset.orders import Falling, Plan
from nextset.systems.mar import SIZES
from nextset.tokenizers.kl_vae import KLVAEModule
from nextset.weights import load_official

from .recordings import Given, Recordings, assert_published, assert_read, near
from .test_diffusion import near_chain
from .test_kl_vae import said as vae_arguments

RECORDED = Recordings("mar")
pytestmark = RECORDED.needed
PLAIN, CHAIN, STEEP = 1e-4, 1e-4, 1e-3
CPU = torch.device("cpu")


CONFIG, MANIFEST = RECORDED.read("config.json"), RECORDED.published
GENERATORS = [name for name in MANIFEST if "VAE" not in name]
HEADS = ("encoder_num_heads", "decoder_num_heads")
RUNS = {run["name"]: run for run in CONFIG.get("runs", ())}


WEIGHTS = RECORDED.folder / "weights_mar.safetensors"


def official() -> dict[str, Any]:
    return CONFIG["constructor"]["models.mar.MAR"]


@pytest.fixture(scope="module")
def model() -> Model:
    """The system with the official weights, on latents; `test_kl_vae.py` sees to their tokenizer."""
    found = load_official("mar", WEIGHTS, official())
    assert isinstance(found, Model)
    return found


def head_of(model: Model) -> DiffusionModule:
    assert isinstance(model.network.head, DiffusionModule)
    return model.network.head


def tokens(latents: Tensor) -> Tensor:
    """A map (B, C, h, w) as tokens (B, N, C), or of patches of it."""
    return F.pixel_unshuffle(latents, official()["patch_size"]).flatten(2).transpose(1, 2)


# -- transformer


def split(io: dict[str, Tensor]) -> Plan:
    """The recorded order turned round (the official code masks its front), in a known step, where some sites are, and an unknown one."""
    unknown, sites = int(io["gen_mask"][0].sum()), io["gen_mask"].shape[1]
    return Plan(io["gen_orders"].flip(1), (sites - unknown, unknown) if unknown < sites else (sites,))


def test_patches_and_mask(io: dict[str, Tensor]) -> None:
    near(tokens(io["gen_latents"]), io["gen_patchified"], 0)
    near(tokens(io["gen_unpatchified"]), io["gen_patchified"], 0)
    plan = split(io)
    assert plan.sizes[-1] == math.ceil(sum(plan.sizes) * CONFIG["mask_rate"])
    late = torch.arange(sum(plan.sizes)).ge(plan.starts[-2]).float().expand_as(io["gen_mask"])
    near(plan.to_sites(late), io["gen_mask"], 0)


@torch.no_grad()
def test_encoder_sees_known_tokens_only(model: Model, io: dict[str, Tensor]) -> None:
    network, plan = model.network, split(io)
    call = network.script(plan.sizes, CPU).steps[-1]
    x = network.wiring.fill(call, network.condition(io["gen_labels"]).prefix, io["gen_patchified"], plan)
    slots = call.slots(x, plan)
    backbone = network.backbone
    places = backbone._places(slots.site)  # type: ignore[operator]
    known = backbone.encode(slots, places, itertools.repeat(None))  # type: ignore[operator]
    rows = places[:, slots.filled].argsort(1)  # the official order is by site
    near(known.gather(1, rows[..., None].expand_as(known)), io["gen_encoder_out"])


@pytest.mark.parametrize(
    ("name", "kind"), [("gen_z", "class"), ("gen_z_uncond", "null"), ("gen_z_train_labeldrop", "mixed")]
)
@torch.no_grad()
def test_hidden_vectors(name: str, kind: str, model: Model, io: dict[str, Tensor]) -> None:
    """Of all that is unknown; the recorded ones of known sites have no use."""
    plan, labels = split(io), io["gen_labels"]
    nobody = torch.full_like(labels, official()["class_num"])
    dropped = {"class": labels, "null": nobody, "mixed": torch.where(io["gen_label_drop"] == 1, nobody, labels)}[kind]
    hidden = model.network.hidden_at(len(plan.sizes) - 1, io["gen_patchified"], model.network.condition(dropped), plan)
    near(hidden, plan.to_ranks(io[name])[:, plan.starts[-2] :])


# -- whole chains


@pytest.mark.parametrize("name", RUNS)
def test_generation(name: str, model: Model, io: dict[str, Tensor]) -> None:
    """Through the engine, with the recorded orders and noise: what is masked when, the scales, hidden vectors, and the latents."""
    run, own = RUNS[name], model.system
    perm, channels = io["sample_orders"].flip(1), own.tokenizer.unit.dim  # type: ignore[union-attr]
    sites = perm.shape[1]
    sizes = Falling(Cosine()).sizes(sites, run["num_iter"])
    plan = Plan(perm, sizes)
    masks = torch.stack(
        [plan.to_sites((torch.arange(sites) >= start).float().expand_as(perm)) for start in plan.starts[:-1]]
    )
    near(masks, io[f"{name}_mask_before"], 0)
    guidance: Guidance = Constant(run["cfg"])
    if run["cfg_schedule"] == "linear":
        guidance = Proportional(run["cfg"], after=True, left=1)
    near(torch.tensor(guidance.scales(sizes)), io[f"{name}_cfg_iter"], 1e-5)

    head = head_of(model)
    spec = replace(head.spec, spacing=spacing(run.get("num_sampling_steps", official()["num_sampling_steps"])))
    numbers = replayed(name, io, plan, spec.spacing.count, channels)
    seen: list[tuple[Tensor, Tensor]] = []
    sample = head.sample

    def watched(hidden: Tensor, unguided: Tensor | None, *rest: Any) -> Tensor:
        new = sample(hidden, unguided, *rest)
        seen.append((torch.cat([hidden, unguided]) if unguided is not None else hidden, new))
        return new

    labels = io["gen_labels"] if run["labels"] else None
    steep = CHAIN if isinstance(spec.spacing, Strided) else STEEP
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(model, "system", replace(own, order=Given(tuple(map(tuple, perm.tolist())), sizes)))
        patched.setattr(head, "spec", spec)
        patched.setattr(head, "sample", watched)
        patched.setattr(head, "draw", lambda noise, count: numbers)
        *_, last = model.stream(labels, count=len(perm), guidance=guidance, pick=Pick(run["temperature"]))
    for step, (hidden, new) in enumerate(seen):
        ranks = slice(plan.starts[step], plan.starts[step + 1])
        near_chain(by_site(hidden, plan, ranks), io[f"{name}_z_step{step}"], steep)
        ours, theirs = by_site(new, plan, ranks), io[f"{name}_sampled_step{step}"]
        near_chain(ours, theirs[: len(ours)], steep)  # what guidance's other half drew is of no use
    near_chain(last.decoding.tokens.data, tokens(io[f"{name}_latents"]), steep)


def by_site(values: Tensor, plan: Plan, ranks: slice) -> Tensor:
    """Values (B or 2 B, n, ...) by rank, flat in the order of the official mask: samples, then sites."""
    order = plan.perm[:, ranks].argsort(1)
    order = torch.cat([order] * (len(values) // len(order)))
    return values.gather(1, order[..., None].expand_as(values)).flatten(0, 1)


def replayed(name: str, io: dict[str, Tensor], plan: Plan, steps: int, channels: int) -> Tensor:
    """The recorded noise as a head draws it, (B, N, S, C) by rank."""
    numbers = torch.zeros(*plan.perm.shape, steps, channels)
    for step, (start, size) in enumerate(zip(plan.starts, plan.sizes, strict=False)):
        init, noise = io[f"{name}_init_noise_step{step}"], io[f"{name}_step_noise_step{step}"]
        rows = torch.cat([init[None], noise[:-1, : len(init)]]).transpose(0, 1).unflatten(0, (len(plan.perm), size))
        order = plan.perm[:, start : start + size].argsort(1).argsort(1)
        numbers[:, start : start + size] = torch.stack([row[o] for row, o in zip(rows, order, strict=True)])
    return numbers


# -- the family


def test_keys_go_there_and_back(model: Model) -> None:
    theirs, back = RECORDED.tensors("weights_mar"), KEYS.to_theirs(model.network.state_dict())
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[key], theirs[key]) for key in theirs)


def test_with_the_tokenizer(model: Model) -> None:
    """The same network on the same latents, which are painted; those of another picture's size, and patches, are refused."""
    files = {"network": WEIGHTS, "tokenizer": RECORDED.folder / "weights_vae.safetensors"}
    single, coder = official()["patch_size"] == 1, vae_arguments(CONFIG)
    if single:
        whole = load_official("mar", files, {"network": official(), "tokenizer": coder})
        assert isinstance(whole, Model)
        assert isinstance(whole.tokenizer, KLVAEModule)
        assert replace(whole.system, tokenizer=model.system.tokenizer) == model.system
    twice = official() | {"vae_stride": 2 * official()["vae_stride"], "img_size": 2 * official()["img_size"]}
    with pytest.raises(UsageError, match="vae_stride" if single else "patch_size"):
        load_official("mar", files, {"network": twice, "tokenizer": coder})


def test_patches_are_tokens_without_a_tokenizer() -> None:
    """As many numbers a token may be the latents of a patch, whose picture is larger."""
    args = {"patch_size": 2 * official()["patch_size"], "vae_embed_dim": official()["vae_embed_dim"] // 4}
    found = load_official("mar", WEIGHTS, official() | args | {"img_size": 2 * official()["img_size"]})
    assert isinstance(found, Model)
    assert found.system.size == (2 * official()["img_size"],) * 2


def test_what_the_shapes_do_not_show(model: Model) -> None:
    """The heads are asked for; the stride, where it is not the usual one, and what only drawing and training read may be given."""
    names = ("vae_stride", "patch_size", "attn_dropout", "proj_dropout", "label_drop_prob", "mask_ratio_min")
    few = {name: official()[name] for name in (*names, "num_sampling_steps", "diffusion_batch_mul")}
    with pytest.raises(UsageError, match="do not show encoder_num_heads"):
        load_official("mar", WEIGHTS, few)
    shown = load_official("mar", WEIGHTS, few | {name: official()[name] for name in HEADS})
    assert isinstance(shown, Model)
    assert shown.system == model.system


def test_decoders_and_dropouts_may_differ() -> None:
    """Heads of the decoder, and the dropout of attention weights."""
    found = load_official("mar", WEIGHTS, official() | {"decoder_num_heads": 1, "attn_dropout": 0.77})
    assert isinstance(found, Model)
    assert isinstance(found.system.backbone, MaskedAutoencoder)
    assert found.system.backbone.decoder_mixer == BiasedAttention(1, weights=0.77)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("img_size", 77),
        ("vae_embed_dim", 77),
        ("decoder_depth", 77),
        ("decoder_embed_dim", 77),
        ("buffer_size", 77),
        ("diffloss_d", 77),
        ("norm_layer", "nn.LayerNorm"),
        ("num_sampling_steps", "10,20"),
    ],
)
def test_a_config_that_is_not_of_the_file_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        load_official("mar", WEIGHTS, official() | {name: value})


# -- published files


def size_named(entry: dict[str, Any]) -> str:
    """That of the constructor's name: models.mar.mar_base."""
    (constructor,) = entry["constructor"]
    return next(s for s, where in PUBLISHED.items() if where.network.startswith(f"{constructor.split('.')[-1]}/"))


@pytest.mark.parametrize("name", GENERATORS)
def test_every_published_key_and_shape(name: str) -> None:
    """What shapes and arguments say is a size of ours; its name says the heads there."""
    entry = MANIFEST[name]
    system = SIZES[size_named(entry)]
    assert isinstance(system.backbone, MaskedAutoencoder)
    heads = dict.fromkeys(HEADS, system.backbone.mixer.heads)  # type: ignore[attr-defined]
    assert_read(FAMILY, entry, entry["constructor"] | heads, system, ("guidance",))
    assert system.order.steps == entry["evaluation"]["num_iter"]  # type: ignore[attr-defined]
    assert system.guidance == Proportional(entry["evaluation"]["cfg"], after=True, left=1)
    network = assert_published(system.network, KEYS, entry["state_dict"])
    assert sum(p.numel() for p in network.parameters()) == entry["parameters"]


def test_published_sizes_are_those_of_the_manifest() -> None:
    assert sorted(size_named(MANIFEST[name]) for name in GENERATORS) == sorted(PUBLISHED)
