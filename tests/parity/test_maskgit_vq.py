"""MaskGIT's VQGAN against recorded outputs of 1d-tokenizer's, and its key map against the published file's manifest.

Recordings lie in the folder that NEXTSET_PARITY names. All sizes and seeds come from them; tolerances from their READMEs: 2e-4 for floats
(measured noise 4e-5), ids exactly. Their pixels are in [0, 1], ours in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset.folders import load_exactly
from nextset.layout import Tokens, grid
from nextset.tokenizers.maskgit_vq import KEYS, MaskGITVQ, MaskGITVQModule

from .recordings import Recordings, assert_published, near

RECORDED = Recordings("maskgit_vq"), Recordings("maskgit_vq16")
ATOL = 2e-4


@dataclass(frozen=True)
class Golden:
    """One recorded instance."""

    official: dict[str, Tensor]
    io: dict[str, Tensor]
    module: MaskGITVQModule


def spec_of(config: dict[str, Any]) -> MaskGITVQ:
    """Our spec for the official configuration."""
    nets, codes = config["encoder_decoder_config"], config["quantizer_args"]
    assert nets["z_channels"] == codes["embedding_dim"]
    assert nets["num_resolutions"] == len(nets["channel_mult"])
    return MaskGITVQ(
        vocab=codes["num_embeddings"],
        dim=codes["embedding_dim"],
        width=nets["hidden_channels"],
        multipliers=tuple(nets["channel_mult"]),
        blocks=nets["num_res_blocks"],
        groups=config["patched_num_groups"],
        channels=nets["num_channels"],
    )


@pytest.fixture(scope="module", params=RECORDED, ids=lambda recorded: recorded.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    """A recording and our module with its weights."""
    recorded: Recordings = request.param
    recorded.require()
    official, module = recorded.tensors("weights"), spec_of(recorded.read("config.json")).build().eval()
    load_exactly(module, KEYS.to_ours(official), recorded.name)
    return Golden(official, recorded.tensors("io"), module)


def unit(images: Tensor) -> Tensor:
    """Ours in their range."""
    return (images + 1) / 2


@pytest.mark.parametrize("shape", ["", "_rect"])
@torch.no_grad()
def test_there_and_back(golden: Golden, shape: str) -> None:
    """Latents, codes, ids (exactly) and pixels, for square maps and others."""
    io, module = golden.io, golden.module
    images = io[f"in.pixels{shape}"] * 2 - 1
    latents = module.latents(images)
    near(latents.movedim(-1, 1), io[f"out.latent{shape}"], ATOL)
    quantised = module.quantise(latents)
    near(quantised.vectors.movedim(-1, 1), io[f"out.quant{shape}"], ATOL)
    tokens = module.encode(images)
    assert tokens.layout == grid(*latents.shape[1:3])
    assert torch.equal(tokens.data, io[f"out.indices{shape}"])
    near(unit(module.decode(tokens)), io[f"out.recon_unclamped{shape}"], ATOL)
    near(unit(module.loss(images)["reconstruction"]), io[f"out.recon_unclamped{shape}"], ATOL)


@torch.no_grad()
def test_codes(golden: Golden) -> None:
    codes, io = golden.io["in.codes"], golden.io
    side = io["out.codebook_entry"].shape[-1]
    near(golden.module.embed(codes).unflatten(1, (-1, side)).movedim(-1, 1), io["out.codebook_entry"], ATOL)
    painted = unit(golden.module.decode(Tokens(codes, grid(codes.shape[1] // side, side))))
    near(painted, io["out.pixels_from_codes_unclamped"], ATOL)
    near(painted.clamp(0, 1), io["out.pixels_from_codes"], ATOL)


@torch.no_grad()
def test_distances(golden: Golden) -> None:
    """The squared distances that decide ids, and their softmax at temperature 0.7."""
    latents = golden.module.latents(golden.io["in.pixels"] * 2 - 1)
    distances = torch.cdist(latents.flatten(0, 2), golden.module.codebook.weight).square()
    near(distances, golden.io["out.distances"], ATOL)
    near(
        (-distances / 0.7).softmax(-1).view(golden.io["out.soft_code_t07"].shape), golden.io["out.soft_code_t07"], ATOL
    )


def test_keys_go_there_and_back(golden: Golden) -> None:
    back = KEYS.to_theirs(golden.module.state_dict())
    assert back.keys() == golden.official.keys()
    assert all(torch.equal(back[key], value) for key, value in golden.official.items())


@pytest.mark.parametrize("name", RECORDED[0].published)
def test_published_files_fit(name: str) -> None:
    """The default spec is the published one."""
    entry = RECORDED[0].published[name]
    module = assert_published(MaskGITVQ().build, KEYS, entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["n_parameters"]
