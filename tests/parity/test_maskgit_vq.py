"""MaskGIT's VQGAN against recorded outputs of 1d-tokenizer's, and its key map against the published file's manifest.

Recordings lie in the folder that NEXTSET_PARITY names. All sizes and seeds come from them; tolerances from their READMEs: 2e-4 for floats
(measured noise 4e-5), ids exactly. Their pixels are in [0, 1], ours in [-1, 1].
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from nextset.layout import Tokens, grid
from nextset.tokenizers.maskgit_vq import KEYS, MaskGITVQ, MaskGITVQModule
from nextset.weights import load_exactly

FOLDER = Path(os.environ.get("NEXTSET_PARITY", Path(__file__).parents[3] / "shared" / "parity"))
MANIFEST = FOLDER / "maskgit_vq" / "published.json"
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


@pytest.fixture(scope="module", params=["maskgit_vq", "maskgit_vq16"])
def golden(request: pytest.FixtureRequest) -> Golden:
    """A recording and our module with its weights."""
    folder = FOLDER / request.param
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}; point NEXTSET_PARITY to them")
    official = load_file(folder / "weights.safetensors")
    module = spec_of(json.loads((folder / "config.json").read_text())).build().eval()
    load_exactly(module, KEYS.to_ours(official), str(folder))
    return Golden(official, load_file(folder / "io.safetensors"), module)


def near(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=ATOL, rtol=0)


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
    near(latents.movedim(-1, 1), io[f"out.latent{shape}"])
    quantised = module.quantise(latents)
    near(quantised.vectors.movedim(-1, 1), io[f"out.quant{shape}"])
    tokens = module.encode(images)
    assert tokens.layout == grid(*latents.shape[1:3])
    assert torch.equal(tokens.data, io[f"out.indices{shape}"])
    near(unit(module.decode(tokens)), io[f"out.recon_unclamped{shape}"])
    near(unit(module.loss(images)["reconstruction"]), io[f"out.recon_unclamped{shape}"])


@torch.no_grad()
def test_codes(golden: Golden) -> None:
    codes, io = golden.io["in.codes"], golden.io
    side = io["out.codebook_entry"].shape[-1]
    near(golden.module.embed(codes).unflatten(1, (-1, side)).movedim(-1, 1), io["out.codebook_entry"])
    painted = unit(golden.module.decode(Tokens(codes, grid(codes.shape[1] // side, side))))
    near(painted, io["out.pixels_from_codes_unclamped"])
    near(painted.clamp(0, 1), io["out.pixels_from_codes"])


@torch.no_grad()
def test_distances(golden: Golden) -> None:
    """The squared distances that decide ids, and their softmax at temperature 0.7."""
    latents = golden.module.latents(golden.io["in.pixels"] * 2 - 1)
    distances = torch.cdist(latents.flatten(0, 2), golden.module.codebook.weight).square()
    near(distances, golden.io["out.distances"])
    near((-distances / 0.7).softmax(-1).view(golden.io["out.soft_code_t07"].shape), golden.io["out.soft_code_t07"])


def test_keys_go_there_and_back(golden: Golden) -> None:
    back = KEYS.to_theirs(golden.module.state_dict())
    assert back.keys() == golden.official.keys()
    assert all(torch.equal(back[key], value) for key, value in golden.official.items())


def published() -> dict[str, Any]:
    """Every published size, by name."""
    return json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}


@pytest.mark.parametrize("name", published())
def test_published_files_fit(name: str) -> None:
    """The default spec is the published one."""
    entry = published()[name]
    theirs = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    with torch.device("meta"):
        module = MaskGITVQ().build()
        load_exactly(module, KEYS.to_ours({key: torch.empty(shape) for key, shape in theirs.items()}), name)
    assert {key: tuple(value.shape) for key, value in KEYS.to_theirs(module.state_dict()).items()} == theirs
    assert sum(p.numel() for p in module.parameters()) == entry["n_parameters"]
