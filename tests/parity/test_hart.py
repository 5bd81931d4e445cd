"""HART's hybrid tokenizer against recorded outputs of the official code, and the key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes and scales come from them. Tolerances from the README: 2e-5 for latents,
5e-5 for pixels, ids exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset.family import Arguments
from nextset.layout import Tokens, pyramid
from nextset.official import multiscale
from nextset.official.hart import CODER, OfficialKeys
from nextset.tokenizers.hybrid import HybridVQModule, Split
from nextset.weights import load_official

from .recordings import Recordings, assert_published, near

RECORDED = Recordings("hart")
pytestmark = RECORDED.needed
LATENTS, PIXELS = 2e-5, 5e-5


@dataclass(frozen=True)
class Golden:
    """The recordings, and our module with their weights."""

    io: dict[str, Tensor]
    module: HybridVQModule

    @property
    def scales(self) -> int:
        return len(self.module.spec.base.sides)

    def tokens(self, name: str) -> Tokens:
        """The recorded ids of all scales."""
        ids = [self.io[f"{name}{k}"] for k in range(self.scales)]
        return Tokens(torch.cat(ids, 1), pyramid(*self.module.spec.base.sides))

    def loss(self, skip: float) -> dict[str, Tensor]:
        """Figures where so many pictures are painted of ids alone."""
        module = replace(self.module.spec, skip=skip).build().eval()
        module.load_state_dict(self.module.state_dict())
        return module.loss(self.io["tok_pixels"])


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return RECORDED.read("config.json")["constructor"]


@pytest.fixture(scope="module")
def golden(config: dict[str, Any]) -> Golden:
    module = load_official("hart", RECORDED.folder / "weights_vae.safetensors", config)
    assert isinstance(module, HybridVQModule)
    return Golden(RECORDED.tensors("io"), module)


@torch.no_grad()
def test_latents(golden: Golden) -> None:
    near(golden.module.latents(golden.io["tok_pixels"]), golden.io["tok_latent"], LATENTS)


def test_ids_and_the_rest(golden: Golden) -> None:
    """The last scale without phi; what it leaves out and its sum make the latents again."""
    split = golden.module.split(golden.io["tok_pixels"])
    assert torch.equal(split.tokens.data, golden.tokens("tok_ids_scale").data)
    assert torch.equal(golden.module.encode(golden.io["tok_pixels"]).data, split.tokens.data)
    near(split.rest, golden.io["tok_rest_before_last"], LATENTS)


@torch.no_grad()
def test_what_the_next_scale_is_predicted_from(golden: Golden) -> None:
    fed = golden.module.feedback(golden.tokens("tok_ids_scale"), range(1, golden.scales))
    recorded = [golden.io[f"next_input_scale{k}"].flatten(2).transpose(1, 2) for k in range(1, golden.scales)]
    near(fed, torch.cat(recorded, 1), LATENTS)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_both_readings_of_the_last_scale(golden: Golden, kind: str) -> None:
    tokens = golden.tokens("tok_ids_scale")
    coded = golden.module.coded(tokens)
    split = coded if kind == "discrete" else Split(tokens, golden.io["tok_rest_before_last"])
    near(golden.module.joined(split), golden.io[f"gen_fhat_{kind}"], LATENTS)
    near(golden.module.restore(split).clamp(-1, 1), golden.io[f"gen_image_{kind}"], PIXELS)
    if kind == "discrete":
        assert torch.equal(golden.module.decode(tokens), golden.module.restore(coded))
        assert torch.equal(golden.module.sketch(tokens, golden.scales), golden.module.decode(tokens))


@torch.no_grad()
def test_training_with_the_rest(golden: Golden) -> None:
    """Ids with phi at every scale, their loss, and the latents whole."""
    fitted = golden.module.vq.fit(golden.io["tok_pixels"])
    found = golden.module.vq.quantise(golden.io["tok_latent"], pyramid(*golden.module.spec.base.sides).blocks)
    assert torch.equal(torch.cat(found.ids, 1), golden.tokens("forward_ids_scale").data)
    near(fitted.latents, golden.io["forward_cont_fhat"], LATENTS)
    near(fitted.straight, golden.io["forward_disc_fhat"], LATENTS)
    for skip, kind in ((0.0, "cont"), (1.0, "disc")):
        figures = golden.loss(skip)
        near(figures["reconstruction"], golden.io[f"forward_{kind}_recon"], PIXELS)
        near(figures["codebook"], golden.io["forward_cont_vq_loss"][0], LATENTS)


def test_keys_go_there_and_back(golden: Golden, config: dict[str, Any]) -> None:
    official = RECORDED.tensors("weights_vae")
    shared = config["HARTAutoEncoderConfig"].get("share_quant_resi", 4)
    back = OfficialKeys(multiscale.OfficialKeys(shared), golden.scales).to_theirs(golden.module.state_dict())
    assert back.keys() == official.keys()
    for key, value in official.items():
        assert torch.equal(back[key], value), key


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    """Both ways, on the meta device; the sizes that shapes and constructor say are those of the catalogue."""
    entry = RECORDED.published[name]
    shapes = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    spec = CODER.read(Arguments("the manifest", shapes, entry["constructor"]))
    assert spec in CODER.sizes.values()
    module = assert_published(spec.build, CODER.keys(spec), entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["parameters"]
