"""The KL-VAE tokenizer against recorded outputs of MAR's, and its key map against the published file's manifest.

Recordings lie in the folder that NEXTSET_PARITY names; all sizes come from them. Tolerance from their README: 1e-4 (measured noise 6e-6).
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nextset import folders
from nextset.layout import Tokens
from nextset.tokenizers.kl_vae import KLVAE, KLVAEModule, official_keys

from .recordings import Recordings, assert_published, near

RECORDED = Recordings("mar")
pytestmark = RECORDED.needed
PLAIN = 1e-4
CONFIG = RECORDED.read("config.json")


@pytest.fixture(scope="module")
def vae() -> KLVAEModule:
    """Our autoencoder of the official constructor arguments, with the official weights."""
    patched = next(value for key, value in CONFIG["constructor"].items() if "override" in key)
    lowest = patched["resolution"] // 2 ** (len(patched["ch_mult"]) - 1)
    spec = KLVAE(
        CONFIG["constructor"]["models.vae.AutoencoderKL"]["embed_dim"],
        patched["ch"],
        tuple(patched["ch_mult"]),
        patched["num_res_blocks"],
        attention=lowest == 16,  # where the official encoder attends, whatever its depth
        scale=CONFIG["latent_scale"],
    )
    module = spec.build().eval()
    keys = official_keys(len(spec.multipliers))
    official = RECORDED.tensors("weights_vae")
    folders.load_exactly(module, keys.to_ours(official), RECORDED.name)
    back = keys.to_theirs(module.state_dict())
    assert back.keys() == official.keys()
    assert all(torch.equal(back[key], official[key]) for key in official)
    return module


@torch.no_grad()
def test_autoencoder(vae: KLVAEModule, io: dict[str, Tensor]) -> None:
    near(vae.encoder(io["tok_pixels"]), io["tok_encoder_out"])
    posterior = vae.posterior(io["tok_pixels"])
    near(torch.cat([posterior.mean, posterior.log], 1), torch.cat([io["tok_mean"], io["tok_logvar"]], 1))
    near(posterior.sample(io["tok_noise"]), io["tok_sample"])
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


@pytest.mark.parametrize("name", [name for name in RECORDED.published if "VAE" in name])
def test_published_autoencoder(name: str) -> None:
    entry = RECORDED.published[name]
    (official,) = entry["constructor"].values()
    spec = KLVAE()
    assert (spec.dim, spec.multipliers) == (official["embed_dim"], tuple(official["ch_mult"]))
    assert_published(spec.build, official_keys(len(spec.multipliers)), entry["state_dict"])
