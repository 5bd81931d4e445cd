"""The VQ tokenizer against recorded outputs of LlamaGen's, and its key map against every published file's manifest.

Recordings lie in the folder that NEXTSET_PARITY names. All sizes and seeds come from them; tolerances from their README: 1e-4
for floats (measured noise 6e-6), ids exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset.family import Arguments
from nextset.layout import Tokens, grid
from nextset.official.vq import CODER, KEYS, USED
from nextset.tokenizers.vq import VQModule
from nextset.weights import load_official

from .recordings import Recordings, assert_published, near

RECORDED = Recordings("llamagen_vq"), Recordings("llamagen_vq16")
SHAPES = sorted({""} | {shape for recorded in RECORDED for shape in recorded.runs(r"in\.pixels(\w*)")})


@dataclass(frozen=True)
class Golden:
    """One recorded instance."""

    config: dict[str, Any]
    official: dict[str, Tensor]
    io: dict[str, Tensor]
    module: VQModule


@pytest.fixture(scope="module", params=RECORDED, ids=lambda recorded: recorded.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    """A recording and our module with its weights."""
    recorded: Recordings = request.param
    recorded.require()
    config = recorded.read("config.json")
    arguments = config["model_args"] | config["patched_args"] | {"dropout_p": 0.0}
    module = load_official(recorded.name, recorded.folder / "weights.safetensors", arguments)
    assert isinstance(module, VQModule)
    return Golden(config, recorded.tensors("weights"), recorded.tensors("io"), module)


def tokens(ids: Tensor) -> Tokens:
    """Recorded ids (B, h, w) as tokens."""
    return Tokens(ids.flatten(1), grid(*ids.shape[1:]))


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_encoder(golden: Golden, shape: str) -> None:
    pixels, io = golden.io[f"in.pixels{shape}"], golden.io
    near(golden.module.encoder(pixels), io[f"out.encoder_hidden{shape}"])
    latents = golden.module.latents(pixels)
    near(latents.movedim(-1, 1), io[f"out.latent_prequant{shape}"])
    near(golden.module.quantise(latents).vectors.movedim(-1, 1), io[f"out.quant{shape}"])


@pytest.mark.parametrize("shape", SHAPES)
def test_ids_are_exact(golden: Golden, shape: str) -> None:
    ids = golden.io[f"out.indices{shape}"]
    ours = golden.module.encode(golden.io[f"in.pixels{shape}"])
    assert ours.layout == grid(*ids.shape[1:])
    assert torch.equal(ours.data, ids.flatten(1))


@pytest.mark.parametrize(
    ("ids", "pixels"),
    [
        *((f"out.indices{shape}", f"out.pixels_from_indices{shape}") for shape in SHAPES),
        ("in.codes", "out.pixels_from_codes"),
    ],
)
@torch.no_grad()
def test_decoder(golden: Golden, ids: str, pixels: str) -> None:
    near(golden.module.decode(tokens(golden.io[ids])), golden.io[pixels])


@torch.no_grad()
def test_whole_way_and_codes(golden: Golden) -> None:
    near(golden.module.loss(golden.io["in.pixels"])["reconstruction"], golden.io["out.forward_recon"])
    codes = golden.io["in.codes"]
    near(
        golden.module.embed(codes.flatten(1)).unflatten(1, codes.shape[1:]).movedim(-1, 1),
        golden.io["out.codebook_entry"],
    )


def test_keys_go_there_and_back(golden: Golden) -> None:
    """With a buffer of statistics that only files of the usual `codebook_show_usage` have."""
    back = KEYS.to_theirs(golden.module.state_dict())
    if not golden.config["model_args"]["codebook_show_usage"]:
        del back[USED]
    without_effect = {
        name.removeprefix("vq:") for name in golden.config["state_dict_entries_without_effect_on_outputs"]
    }
    assert back.keys() == golden.official.keys()
    for key, value in golden.official.items():
        assert back[key].shape == value.shape
        assert key in without_effect or torch.equal(back[key], value), key


@pytest.mark.parametrize("name", RECORDED[0].published)
def test_published_files_fit(name: str) -> None:
    """Their shapes alone say the sizes that we list for their file."""
    entry = RECORDED[0].published[name]
    shapes = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    spec = CODER.read(Arguments("the manifest", shapes))
    file = f"{entry['checkpoint_repo'].removeprefix('huggingface ')}:{entry['checkpoint_files']}"
    assert [CODER.sizes[size] for size, found in CODER.published.items() if found.tokenizer == file] == [spec]
    module = assert_published(spec.build, KEYS, entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["n_parameters"]
