"""The KL-VAE tokenizer against recorded outputs of MAR's, and its key map against the published file's manifest.

Recordings lie in the folder that NEXTSET_PARITY names; all sizes come from them. Tolerance from their README: 1e-4 (measured noise 6e-6).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from nextset import UsageError
from nextset.layout import Tokens
from nextset.official.kl_vae import CODER
from nextset.tokenizers.kl_vae import KLVAEModule
from nextset.weights import load_official

from .recordings import Recordings, arguments, assert_published, near

RECORDED = Recordings("mar")
pytestmark = RECORDED.needed
PLAIN = 1e-4
FILE = RECORDED.folder / "weights_vae.safetensors"
CONFIG = RECORDED.read("config.json")


def said(config: dict[str, Any]) -> dict[str, Any]:
    """The official arguments, what was patched, and the constant by which latents are scaled."""
    patched = next(value for key, value in config["constructor"].items() if "override" in key)
    return config["constructor"]["models.vae.AutoencoderKL"] | patched | {"latent_scale": config["latent_scale"]}


@pytest.fixture(scope="module")
def vae() -> KLVAEModule:
    """The official weights in our module."""
    module = load_official("kl-vae", FILE, said(CONFIG))
    assert isinstance(module, KLVAEModule)
    return module


@torch.no_grad()
def test_autoencoder(vae: KLVAEModule, io: dict[str, Tensor]) -> None:
    near(vae.encoder(io["tok_pixels"]), io["tok_encoder_out"])
    near(vae.moments(vae.encoder(io["tok_pixels"])), io["tok_moments"])
    posterior = vae.posterior(io["tok_pixels"])
    near(torch.cat([posterior.mean, posterior.log], 1), torch.cat([io["tok_mean"], io["tok_logvar"]], 1))
    near((posterior.log / 2).exp(), io["tok_std"])
    near(posterior.sample(io["tok_noise"]), io["tok_sample"])
    surprise = -Normal(posterior.mean, (posterior.log / 2).exp()).log_prob(io["tok_sample"])
    near(surprise.flatten(1).sum(1), io["tok_nll"], PLAIN * io["tok_nll"].abs().max().item())
    near(posterior.divergence(), io["tok_kl"], PLAIN * io["tok_kl"].abs().max().item())
    near(vae.paint(io["tok_mean"]), io["tok_recon_mode"])


@torch.no_grad()
def test_tokens_and_back(vae: KLVAEModule, io: dict[str, Tensor]) -> None:
    """Scaled latents are the tokens, row by row; decoding undoes the scale."""
    near(vae.encode(io["tok_pixels"]).data, tokens(io["tok_mean"] * CONFIG["latent_scale"]))
    drawn = tokens(io["tok_scaled_latent"])
    near(tokens(vae.posterior(io["tok_pixels"]).sample(io["tok_noise"]) * vae.scale), drawn)
    near(vae.decode(Tokens(drawn, vae.spec.layout(io["tok_pixels"].shape[2:]))), io["tok_recon_sample"])


def tokens(latents: Tensor) -> Tensor:
    """A map (B, C, h, w) as tokens (B, N, C)."""
    return latents.flatten(2).transpose(1, 2)


def test_keys_go_there_and_back(vae: KLVAEModule) -> None:
    official, back = RECORDED.tensors("weights_vae"), CODER.keys(vae.spec).to_theirs(vae.state_dict())
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)


def test_the_shapes_show_all_but_constants(vae: KLVAEModule) -> None:
    shown = load_official("kl-vae", FILE, {name: said(CONFIG)[name] for name in ("latent_scale",)})
    assert isinstance(shown, KLVAEModule)
    assert shown.spec == vae.spec


@pytest.mark.parametrize(
    ("name", "value"), [("embed_dim", 77), ("ch_mult", [77]), ("num_res_blocks", 77), ("use_variational", False)]
)
def test_a_config_that_is_not_of_the_file_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        load_official("kl-vae", FILE, said(CONFIG) | {name: value})


@pytest.mark.parametrize("name", [name for name in RECORDED.published if "VAE" in name])
def test_published_autoencoder(name: str) -> None:
    """What its shapes and arguments say is the published size."""
    entry = RECORDED.published[name]
    (size,) = (size for size, where in CODER.published.items() if entry["file"].startswith(where.tokenizer))
    spec = CODER.sizes[size]
    assert CODER.read(arguments(entry, entry["constructor"])) == spec
    module = assert_published(spec.build, CODER.keys(spec), entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["parameters"]
