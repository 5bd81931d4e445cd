"""xAR against recorded outputs of the official code, and its key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, noise, levels, steps and scales come from them. Tolerances from the README:
1e-4 for velocities, 2e-4 for latents.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, UsageError
from nextset.decode import Linear
from nextset.heads import Flow, Noisy
from nextset.heads.denoiser import DenoiserModule
from nextset.nn.flow import Euler, EulerMaruyama, FlowSolver
from nextset.noise import Noise
from nextset.official.xar import FAMILY, KEYS, PUBLISHED
from nextset.orders import Plan
from nextset.slots import Vectors
from nextset.systems.xar import SIZES, dropped
from nextset.weights import load_official

from .recordings import Recordings, assert_published, assert_read, near

RECORDED = Recordings("xar")
pytestmark = RECORDED.needed
VELOCITY, LATENT, EARLY = 1e-4, 2e-4, 2e-5
FILE = RECORDED.folder / "weights_xar.safetensors"
CONFIG, MANIFEST = RECORDED.read("config.json"), RECORDED.published
RUNS = {run["name"]: run for run in CONFIG.get("runs", ())}


def official() -> dict[str, Any]:
    return CONFIG["constructor"]["models.xar.xAR"]


@pytest.fixture(scope="module")
def model() -> Model:
    """The official weights in our system, on latents."""
    found = load_official("xar", FILE, official())
    assert isinstance(found, Model)
    return found


def by_rank(cells: Tensor) -> Tensor:
    """(K, B, n, ...) to (B, K n, ...)."""
    return cells.transpose(0, 1).flatten(1, 2)


def plan_of(model: Model) -> Plan:
    return model.system.order.plan(model.system.layout, Noise(0, range(1)))


def latents(tokens: Tensor, like: Tensor) -> Tensor:
    """Tokens by site as a map (B, C, H, W)."""
    return tokens.transpose(1, 2).reshape(like.shape)


def training(model: Model, io: dict[str, Tensor]) -> tuple[Tensor, Tensor, Noisy, Tensor]:
    """Clean tokens and noise by rank, the noisy tokens, and labels after the recorded drop."""
    cells, batch = model.system.order.sizes(model.system.layout), len(io["gen_latents"])
    clean = plan_of(model).to_ranks(io["gen_latents"].flatten(2).transpose(1, 2))
    noise = by_rank(io["train_noise"])
    steps = io["train_time"].view(len(cells), batch).T
    level = steps.repeat_interleave(torch.tensor(cells), dim=1)
    head = model.network.head
    assert isinstance(head, DenoiserModule)
    labels = torch.where(io["train_label_drop"].bool(), model.system.condition.classes, io["gen_labels"])  # type: ignore[attr-defined]
    return clean, noise, Noisy(head.noised(clean, noise, level), level), labels


def test_cells_and_mask(model: Model, io: dict[str, Tensor]) -> None:
    cells = model.system.order.sizes(model.system.layout)
    clean = training(model, io)[0]
    assert torch.equal(clean.unflatten(1, (len(cells), cells[0])), io["gen_cells"])
    seen = model.network.script(cells, torch.device("cpu")).noised.mask.dense
    assert seen is not None
    assert torch.equal(seen, io["mask"][0, 0] == 0)


def test_rotary_tables(model: Model, io: dict[str, Tensor]) -> None:
    rotary = model.network.backbone.first.rotary  # type: ignore[union-attr]
    turns = rotary(plan_of(model).perm).repeat_interleave(2, dim=1)  # type: ignore[operator]  # theirs have one angle per channel
    near(turns.real, io["rope_cos"], 1e-6)
    near(turns.imag, io["rope_sin"], 1e-6)


@torch.inference_mode()
def test_training_forward(model: Model, io: dict[str, Tensor]) -> None:
    """From the map of tokens to the loss, on noisy context, each cell at the recorded level."""
    network, plan = model.network, plan_of(model)
    clean, noise, noisy, labels = training(model, io)
    conditioning = network.condition(labels)
    call = network.script(plan.sizes, torch.device("cpu")).noised
    x = network.wiring.fill(call, conditioning.prefix, clean, plan, noisy)
    near(x, io["train_input_proj"], EARLY)
    vectors = network.wiring.vectors(call, conditioning.vector, plan, noisy)
    assert isinstance(vectors, Vectors)
    firsts = vectors.values[:, vectors.of[call.blocks.first]]
    near(firsts.transpose(0, 1).flatten(0, 1), io["train_condition"], VELOCITY)
    early = network.backbone.first(call.slots(x, plan, vectors))  # type: ignore[operator]
    near(early, io["train_encoder_out"], VELOCITY)
    hidden = network.noised(clean, conditioning, plan, noisy)
    head = network.head
    assert isinstance(head, DenoiserModule)
    near(head.says(hidden), io["train_velocity"], VELOCITY)
    near(head.loss(hidden, head.wanted(clean, noise)).mean()[None], io["train_loss"], VELOCITY)


def solver_of(run: dict[str, Any]) -> FlowSolver:
    return {"euler": Euler, "euler_maruyama": EulerMaruyama}[run["sampler"]](run["num_steps"])


def drawn_of(io: dict[str, Tensor], run: str, cells: int) -> Tensor:
    """The recorded noise as the head draws it, (B, N, S, C)."""
    start = by_rank(torch.stack([io[f"{run}_init_noise_cell{k}"] for k in range(cells)]))[:, :, None]
    if f"{run}_step_noise_cell0" not in io:
        return start
    steps = torch.stack([io[f"{run}_step_noise_cell{k}"] for k in range(cells)])  # (K, S - 1, B, n, C)
    return torch.cat([start, by_rank(steps.permute(0, 2, 3, 1, 4))], dim=2)


@pytest.mark.parametrize("name", RUNS)
def test_sampling_through_the_cache(
    name: str, model: Model, io: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two velocities of every cell, guided and null, and the latents that all of them lead to."""
    run, cells = RUNS[name], model.system.order.sizes(model.system.layout)
    head = model.network.head
    assert isinstance(head, DenoiserModule)
    numbers, seen, says = drawn_of(io, name, len(cells)), [], head.says

    def watched(hidden: Tensor) -> Tensor:
        seen.append(says(hidden))
        return seen[-1]

    monkeypatch.setattr(head, "solver", solver_of(run))
    monkeypatch.setattr(head, "draw", lambda noise, sites: numbers)
    monkeypatch.setattr(head, "says", watched)
    schedule = Linear(run["cfg"])
    near(torch.tensor(schedule.scales(cells)), io[f"{name}_cfg_per_cell"], 1e-6)
    *_, last = model.stream(io["gen_labels"], guidance=schedule)
    tokens = last.decoding.tokens.data
    near(latents(tokens, io[f"{name}_latents"]), io[f"{name}_latents"], LATENT)
    near(
        plan_of(model).to_ranks(tokens),
        by_rank(torch.stack([io[f"{name}_cell{k}"] for k in range(len(cells))])),
        LATENT,
    )
    for cell in range(len(cells)):
        asked = zip(seen[cell * run["num_steps"] :][: run["num_steps"]], ("first", "second"), strict=False)
        for ours, theirs in asked:
            near(ours, io[f"{name}_{theirs}_velocity_cell{cell}"][: len(ours)], VELOCITY)


# -- the family


def test_the_shapes_show_all(model: Model) -> None:
    """But for what only training reads."""
    shown = load_official("xar", FILE, {name: official()[name] for name in ("vae_stride", "label_drop_prob")})
    assert isinstance(shown, Model)
    assert shown.system == dropped(model.system, 0.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("img_size", 77),
        ("patch_size", 2),
        ("clusters", 16),
        ("encoder_num_heads", 77),
        ("decoder_depth", 77),
        ("mlp_ratio", 1.5),
    ],
)
def test_a_config_that_is_not_of_the_file_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        load_official("xar", FILE, official() | {name: value})


def test_the_key_map_goes_both_ways(model: Model) -> None:
    """Values, not only shapes, but for tables that follow from the sizes."""
    theirs, back = RECORDED.tensors("weights_xar"), KEYS.to_theirs(model.network.state_dict())
    assert back.keys() == theirs.keys() - made(theirs)
    assert all(torch.equal(value, theirs[key]) for key, value in back.items())


def made(keys: Iterable[str]) -> set[str]:
    """Tables that follow from the sizes."""
    return {key for key in keys if key == "mask" or ".rope." in key}


@pytest.mark.parametrize("name", MANIFEST)
def test_every_published_key_and_shape(name: str) -> None:
    """What shapes and arguments say, which are those of an evaluation without dropout, is a size of ours."""
    entry = MANIFEST[name]
    ((_, said),) = entry["constructor"].items()
    system = SIZES[size_named(entry)]
    assert isinstance(system.head, Flow)
    assert_read(FAMILY, entry, said, dropped(system, said["attn_dropout"]), ("guidance", "head"))
    assert system.head.solver == EulerMaruyama(entry["evaluation"]["num_steps"])
    assert system.guidance == Linear(entry["evaluation"]["cfg"])
    assert_published(system.network, KEYS, entry["state_dict"], made(entry["state_dict"]))


def size_named(entry: dict[str, Any]) -> str:
    """The size of the same file."""
    file = f"{entry['repo'].removeprefix('https://huggingface.co/')}:{entry['file']}"
    return next(size for size, where in PUBLISHED.items() if where.network == file)


def test_published_sizes_are_those_of_the_manifest() -> None:
    assert sorted(map(size_named, MANIFEST.values())) == sorted(PUBLISHED)
