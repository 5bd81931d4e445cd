"""MaskGIT's VQGAN against recorded outputs of 1d-tokenizer's, and its key map against the published file's manifest.

Recordings lie in the folder that NEXTSET_PARITY names. All sizes and seeds come from them; tolerances from their READMEs: 2e-4 for floats
(measured noise 4e-5), ids exactly. Their pixels are in [0, 1], ours in [-1, 1].
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import UsageError
from nextset.family import Arguments
from nextset.folders import load_tensors
from nextset.layout import Tokens, grid
from nextset.official.maskgit_vq import CODER, KEYS, read
from nextset.tokenizers.maskgit_vq import MaskGITVQModule
from nextset.weights import load_official

from .recordings import Recordings, assert_published, decimal, near, numbers

RECORDED = Recordings("maskgit_vq"), Recordings("maskgit_vq16")
SHAPES = sorted({""} | {shape for recorded in RECORDED for shape in recorded.runs(r"in\.pixels(\w*)")})
ATOL = 2e-4


@dataclass(frozen=True)
class Golden:
    """One recorded instance."""

    file: Path
    config: dict[str, Any]
    io: dict[str, Tensor]
    module: MaskGITVQModule


def said(config: dict[str, Any]) -> dict[str, Any]:
    """The official arguments, without dropout, as the calls were, and the constant that was patched."""
    return (
        config["encoder_decoder_config"]
        | config["quantizer_args"]
        | {"num_groups": config["patched_num_groups"], "dropout": 0.0}
    )


@pytest.fixture(scope="module", params=RECORDED, ids=lambda recorded: recorded.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    """A recording and our module with its weights."""
    recorded: Recordings = request.param
    recorded.require()
    config, file = said(recorded.read("config.json")), recorded.folder / "weights.safetensors"
    module = load_official("maskgit-vq", file, config)
    assert isinstance(module, MaskGITVQModule)
    return Golden(file, config, recorded.tensors("io"), module)


def unit(images: Tensor) -> Tensor:
    """Ours in their range."""
    return (images + 1) / 2


@pytest.mark.parametrize("shape", SHAPES)
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
    """The squared distances that decide ids, and their softmax at the temperatures that the names say."""
    latents = golden.module.latents(golden.io["in.pixels"] * 2 - 1)
    distances = torch.cdist(latents.flatten(0, 2), golden.module.codebook.weight).square()
    near(distances, golden.io["out.distances"], ATOL)
    for name, expected in golden.io.items():
        soft = re.fullmatch(r"out\.soft_code_t(\d+)", name)
        if soft:
            near((-distances / decimal(soft[1])).softmax(-1).view(expected.shape), expected, ATOL)


def test_keys_go_there_and_back(golden: Golden) -> None:
    back, official = KEYS.to_theirs(golden.module.state_dict()), load_tensors(golden.file)
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], value) for key, value in official.items())


def test_the_shapes_show_all_but_the_groups(golden: Golden) -> None:
    """Of which there are 32 where nobody says otherwise, as in the published file; where that cannot be, they are asked for."""
    sizes = {key: tuple(value.shape) for key, value in load_tensors(golden.file).items()}
    rest = {name: golden.config[name] for name in ("commitment_cost",)}
    assert read(Arguments("file", sizes, rest | {"num_groups": golden.module.spec.groups})) == golden.module.spec
    if golden.module.spec.width % 32:
        with pytest.raises(UsageError, match="num_groups"):
            read(Arguments("file", sizes, rest))
    else:
        assert read(Arguments("file", sizes, rest)) == replace(golden.module.spec, groups=32)


@pytest.mark.parametrize("name", ["num_embeddings", "channel_mult", "num_res_blocks", "z_channels", "dropout"])
def test_a_config_that_is_not_of_the_file_is_refused(name: str, golden: Golden) -> None:
    with pytest.raises(UsageError, match=name):
        load_official("maskgit-vq", golden.file, golden.config | {name: -1})


@pytest.mark.parametrize("name", RECORDED[0].published)
def test_published_files_fit(name: str) -> None:
    """What their shapes and arguments say is the size that we list for their file."""
    entry = RECORDED[0].published[name]
    shapes = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    spec = read(Arguments("the manifest", shapes, numbers(entry["constructor"])))
    files = [f"{entry['checkpoint_repo'].removeprefix('huggingface ')}:{file}" for file in entry["checkpoint_files"]]
    assert [CODER.sizes[size] for size, found in CODER.published.items() if found.tokenizer in files] == [spec]
    module = assert_published(spec.build, KEYS, entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["n_parameters"]
