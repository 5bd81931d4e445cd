"""The diffusion head against recorded outputs of MAR's: tables, denoiser, single steps, whole chains with their noise, both losses.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, steps, scales and noise come from them. Tolerances from the README: 1e-4 for
outputs of the network; steps relative to their deviation, 1e-4, and chains that start at the last level of noise, which multiplies errors
by 2e4, 1e-3.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, Pick, folders
from nextset.heads.diffusion import DiffusionModule
from nextset.layout import Continuous
from nextset.nn.denoiser import waves
from nextset.nn.diffusion import chain, cosine_betas
from nextset.official.mar import KEYS, spacing
from nextset.weights import load_official

from .recordings import Recordings, near

RECORDED = Recordings("mar")
pytestmark = RECORDED.needed
PLAIN, CHAIN, STEEP = 1e-4, 1e-4, 1e-3
LEVELS = 1000  # the official code's constant
CPU = torch.device("cpu")
CONFIG = RECORDED.read("config.json")


def official() -> dict[str, Any]:
    return CONFIG["constructor"]["models.mar.MAR"]


@pytest.fixture(scope="module")
def part() -> DiffusionModule:
    """That of the model."""
    model = load_official("mar", RECORDED.folder / "weights_mar.safetensors", official())
    assert isinstance(model, Model)
    assert isinstance(model.network.head, DiffusionModule)
    return model.network.head


@pytest.fixture(scope="module")
def alone(part: DiffusionModule) -> DiffusionModule:
    """The stand-alone head: another one of the same sizes."""
    unit = Continuous(official()["vae_embed_dim"] * official()["patch_size"] ** 2)
    module = part.spec.build(official()["decoder_embed_dim"], unit, None)  # type: ignore[arg-type]
    theirs = {f"diffloss.{key}": value for key, value in RECORDED.tensors("weights_diffloss").items()}
    ours = {key.removeprefix("head."): value for key, value in KEYS.to_ours(theirs).items()}
    folders.load_exactly(module, ours, "weights_diffloss")
    return module.eval()


def tables(io: dict[str, Tensor]) -> list[str]:
    """The names of those of sampling: of the model's steps, of others, and of runs."""
    found = [match[1] for match in map(re.compile("tab_(.+)_timestep_map").fullmatch, io) if match]
    return [name for name in found if name != "train"]


def test_tables(io: dict[str, Tensor]) -> None:
    whole = chain(LEVELS, None, CPU)
    near(torch.as_tensor(cosine_betas(LEVELS)).float(), io["tab_train_betas"], 1e-7)
    near(whole.log_low.float(), io["tab_train_posterior_log_variance_clipped"], 1e-5)
    assert torch.equal(whole.level, io["tab_train_timestep_map"])
    names = {
        "betas": "beta",
        "posterior_mean_coef1": "from_origin",
        "posterior_mean_coef2": "from_noisy",
        "posterior_log_variance_clipped": "log_low",
        "sqrt_recip_alphas_cumprod": "inverse_signal",
        "sqrt_recipm1_alphas_cumprod": "inverse_noise",
    }
    runs = {run["name"]: run for run in CONFIG["runs"]}
    for prefix in tables(io):
        usual = prefix.removeprefix("gen") or official()["num_sampling_steps"]
        ours = chain(LEVELS, spacing(runs.get(prefix, {}).get("num_sampling_steps", usual)), CPU)
        assert torch.equal(ours.level, io[f"tab_{prefix}_timestep_map"])
        found = {theirs: getattr(ours, mine) for theirs, mine in names.items()} | {"alphas_cumprod": ours.signal**2}
        for theirs, table in found.items():
            if f"tab_{prefix}_{theirs}" in io:
                near(table.float(), io[f"tab_{prefix}_{theirs}"], 1e-6)


@torch.no_grad()
def test_denoiser(alone: DiffusionModule, io: dict[str, Tensor]) -> None:
    net, x, t = alone.net, io["mlp_x"][None], io["mlp_t"][None]
    near(waves(t)[0], io["mlp_t_freq"])
    near(net.times(t)[0], io["mlp_t_emb"])
    vector = net.condition(io["mlp_c"])[None] + net.times(t)
    near(net(x, vector)[0], io["mlp_out"])
    half = len(io["mlp_x"]) // 2
    eps, share = alone._guided(x[:, :half].transpose(0, 1), vector.transpose(0, 1), CONFIG["mlp_cfg"])
    near(torch.cat([eps, share], -1)[:, 0], io["mlp_out_cfg"][:half])


@pytest.mark.parametrize("guided", [False, True])
@torch.no_grad()
def test_one_step(guided: bool, alone: DiffusionModule, io: dict[str, Tensor]) -> None:
    steps = chain(LEVELS, alone.spec.spacing, CPU)
    rows = len(io["mlp_x"]) // (2 if guided else 1)
    for row in range(rows):
        t = int(io["pstep_t"][row])
        pair = io["mlp_c"][[row, row + rows]] if guided else io["mlp_c"][[row]]
        vector = (alone.net.condition(pair) + alone.net.times(steps.level[t]))[:, None]
        if guided:  # the official code gives the second half the first one's x, but its own t
            vector = (alone.net.condition(pair) + alone.net.times(steps.level[io["pstep_t"][[row, row + rows]]]))[
                :, None
            ]
        x = io["mlp_x"][row][None, None]
        eps, share = alone._guided(x, vector, CONFIG["mlp_cfg"])
        noise = io["pstep_noise"][row] * CONFIG["temperature"] if t else None
        name = "pstepcfg" if guided else "pstep"
        near_row(steps.origin(x, eps, t)[0, 0], io[f"{name}_pred_xstart"], row)
        near_row(steps.back(x, eps, share, t, noise)[0, 0], io[f"{name}_out"], row)


def near_chain(ours: Tensor, theirs: Tensor, share: float) -> None:
    """Within a share of the deviation of what was recorded."""
    near(ours, theirs, share * theirs.std().item())


def near_row(ours: Tensor, theirs: Tensor, row: int) -> None:
    """A row within the tolerance of the whole."""
    near(ours, theirs[row], CHAIN * theirs.std().item())


@pytest.mark.parametrize("guided", [False, True])
@torch.no_grad()
def test_head_alone_samples(guided: bool, part: DiffusionModule, io: dict[str, Tensor]) -> None:
    name = "dsampcfg" if guided else "dsamp"
    rows = len(io[f"{name}_init_noise"])
    drawn = torch.cat([io[f"{name}_init_noise"][None], io[f"{name}_step_noise"][:-1, :rows]]).transpose(0, 1)[None]
    hidden, unguided = io["mlp_c"][:rows][None], io["mlp_c"][rows:][None] if guided else None
    found = part.sample(hidden, unguided, CONFIG["mlp_cfg"], drawn, Pick(CONFIG["temperature"]))
    near_chain(found[0], io[f"{name}_out"][:rows], STEEP)


@torch.no_grad()
def test_loss(part: DiffusionModule, io: dict[str, Tensor]) -> None:
    """Both terms of every copy, and the mean over what is masked."""
    hidden, target = io["gen_z"], io["gen_patchified"]
    copies = len(io["loss_t"]) // io["gen_mask"].numel()
    t = io["loss_t"].view(copies * len(target), -1)
    eps = io["loss_noise"].view(*t.shape, -1)
    whole = chain(LEVELS, None, CPU)
    near(whole.noised(target.repeat(copies, 1, 1), eps, t).flatten(0, 1), io["loss_x_t"])
    told: list[Tensor] = []
    with part.net.register_forward_hook(lambda net, given, says: told.append(says)):
        error, bound = part.errors(hidden, target, t, eps)
    near(told[0].flatten(0, 1), io["loss_model_out"])
    near(error.flatten(), io["loss_mse"])
    near(bound.flatten(), io["loss_vb"])
    near((error + bound).flatten(), io["loss_total"])
    mask = io["gen_mask"].repeat(copies, 1)
    near(((error + bound) * mask).sum() / mask.sum(), io["loss"][0])
