"""TiTok's tokenizers against recorded outputs of 1d-tokenizer's, and their key map against every published file's manifest.

Recordings lie in the folder that NEXTSET_PARITY names. All sizes come from them; tolerances from their READMEs: 1e-4 for floats (measured
noise 1e-5), 1e-3 for the divergence, ids exactly. Their pixels are in [0, 1], ours in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nextset.errors import UsageError
from nextset.family import Arguments
from nextset.folders import load_tensors
from nextset.layout import Tokens, line
from nextset.nn.posterior import Posterior
from nextset.official.titok import CODER, KEYS, read
from nextset.systems.maskgit import SIZES as GENERATORS
from nextset.tokenizers.proxy_titok import ProxyTiTokModule
from nextset.weights import load_official

from .recordings import Recordings, assert_published, near

IDS, VECTORS = (Recordings("titok"), Recordings("titok_vq8k")), Recordings("titok_vae")


@dataclass(frozen=True)
class Golden:
    """One recorded instance: our module with its weights."""

    config: dict[str, Any]
    official: dict[str, Tensor]
    io: dict[str, Tensor]
    module: Any

    @property
    def images(self) -> Tensor:
        """The recorded pixels in our range."""
        return self.io["in.pixels"] * 2 - 1


def said(config: dict[str, Any]) -> dict[str, Any]:
    """The official arguments, and what constants were patched to that shapes do not show."""
    patched, official = config["patched_constants"], config["config"]["model"]["vq_model"]
    heads = {f"{net}.num_heads": patched[official[f"vit_{net[:3]}_model_size"]][2] for net in ("encoder", "decoder")}
    return {**config["config"], **heads, "num_groups": patched["groups"]}


def opened(recorded: Recordings) -> Golden:
    """A recording, through the door that users take."""
    recorded.require()
    config, file = recorded.read("config.json"), recorded.folder / "weights.safetensors"
    module = load_official(recorded.name, file, said(config))
    return Golden(config, load_tensors(file), recorded.tensors("io"), module)


@pytest.fixture(scope="module", params=IDS, ids=lambda recorded: recorded.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    """A tokenizer of ids."""
    return opened(request.param)


@pytest.fixture(scope="module")
def variational() -> Golden:
    """The tokenizer of vectors."""
    return opened(VECTORS)


def unit(images: Tensor) -> Tensor:
    """Ours in their range."""
    return (images + 1) / 2


def flat(latents: Tensor) -> Tensor:
    """Theirs (B, D, 1, N) as ours (B, N, D)."""
    return latents.squeeze(2).transpose(1, 2)


@torch.no_grad()
def test_encoder(golden: Golden) -> None:
    latents = golden.module.latents(golden.images)
    near(latents, flat(golden.io["out.encoder_latent"]))
    near(golden.module.quantise(latents).vectors, flat(golden.io["out.quant"]))


def test_ids_are_exact(golden: Golden) -> None:
    ids = golden.io["out.indices"].squeeze(1)
    ours = golden.module.encode(golden.images)
    assert ours.layout == line(golden.config["config"]["model"]["vq_model"]["num_latent_tokens"])
    assert torch.equal(ours.data, ids)


@pytest.mark.parametrize(("ids", "pixels"), [("out.indices", "indices"), ("in.codes", "codes")])
@torch.no_grad()
def test_decoder(golden: Golden, ids: str, pixels: str) -> None:
    sites = golden.io[ids].reshape(len(golden.images), -1)
    painted = golden.module.decode(Tokens(sites, line(sites.shape[1])))
    near(unit(painted), golden.io[f"out.pixels_from_{pixels}"])


@torch.no_grad()
def test_whole_way(golden: Golden) -> None:
    """What the decoder gives, logits over other codes or pixels, and the reconstruction."""
    module, codes = golden.module, golden.module.quantise(golden.module.latents(golden.images)).vectors
    if isinstance(module, ProxyTiTokModule):
        given = module.painter.logits(module.hidden(codes)).movedim(-1, 1)
    else:
        given = unit(module.paint(codes))
    near(given, golden.io["out.decoder_out"])
    near(unit(module.paint(codes)), golden.io["out.recon"])
    near(unit(module.loss(golden.images)["reconstruction"]), golden.io["out.recon"])


@torch.no_grad()
def test_posterior(variational: Golden) -> None:
    module, io = variational.module, variational.io
    posterior = module.posterior(variational.images)
    near(torch.cat([posterior.mean, posterior.log], 1), io["out.encoder_latent"].squeeze(2))
    near(posterior.mean, io["out.mean"].squeeze(2))
    near(posterior.log, io["out.logvar"].squeeze(2))
    near((0.5 * posterior.log).exp(), io["out.std"].squeeze(2))
    sites = Posterior(*(part.transpose(1, 2).flatten(0, 1) for part in (posterior.mean, posterior.log)))
    near(sites.divergence().view_as(io["out.kl"]), io["out.kl"], 1e-3)
    near(posterior.divergence(), io["out.kl"].sum(1), 1e-3 * io["out.kl"].shape[1])


@torch.no_grad()
def test_vectors_and_back(variational: Golden) -> None:
    module, io = variational.module, variational.io
    tokens = module.encode(variational.images)
    near(tokens.data, flat(io["out.mean"]))
    near(unit(module.decode(tokens)), io["out.recon_mode"])
    given = flat(io["in.latents"])
    near(unit(module.decode(Tokens(given, line(given.shape[1])))), io["out.pixels_from_latents"])


@pytest.mark.parametrize("recorded", [*IDS, VECTORS], ids=lambda recorded: recorded.name)
def test_keys_go_there_and_back(recorded: Recordings) -> None:
    golden = opened(recorded)
    back = KEYS.to_theirs(golden.module.state_dict())
    assert back.keys() == golden.official.keys()
    assert all(torch.equal(back[key], value) for key, value in golden.official.items())


# published sizes


def published() -> dict[str, Any]:
    """Every published size, by name."""
    return {name: entry for family in (*IDS, VECTORS) for name, entry in family.published.items()}


def size_of(entry: dict[str, Any]) -> str:
    """Our name of a published file."""
    files = entry["checkpoint_files"]
    return next(size for size, where in CODER.published.items() if where.tokenizer.partition(":")[2] in files)


def shown(entry: dict[str, Any], **said: Any) -> Arguments:
    """What a published file shows, and what its config says; `said` instead of that, where given."""
    shapes = {key: tuple(shape) for key, (shape, _) in entry["state_dict"].items()}
    return Arguments("file", shapes, said or entry["constructor"]["TiTok_config"])


@pytest.mark.parametrize("name", published())
def test_published_files_fit(name: str) -> None:
    entry = published()[name]
    module: nn.Module = assert_published(CODER.sizes[size_of(entry)].build, KEYS, entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["n_parameters"]


@pytest.mark.parametrize("name", published())
def test_published_configs_are_the_sizes(name: str) -> None:
    entry = published()[name]
    assert read(shown(entry)) == CODER.sizes[size_of(entry)]


@IDS[0].needed
def test_published_files_are_those_of_the_manifests() -> None:
    files = {file for entry in published().values() for file in entry["checkpoint_files"]}
    assert {where.tokenizer.partition(":")[2] for where in CODER.published.values()} == files
    assert CODER.published.keys() == CODER.sizes.keys()


@IDS[0].needed
def test_generators_take_the_tokenizers_of_their_files() -> None:
    for entry in published().values():
        generator = entry["constructor"]["TiTok_config"]["model"].get("generator")
        if generator:
            spec = CODER.sizes[size_of(entry)]
            (system,) = [system for system in GENERATORS.values() if system.tokenizer == spec]
            assert system.layout.sites == generator["image_seq_len"]
            assert system.size == (entry["constructor"]["TiTok_config"]["dataset"]["preprocessing"]["crop_size"],) * 2


@IDS[0].needed
def test_what_files_cannot_be() -> None:
    """Configs that contradict the tensors, what is not shown and not said, and files of the first stage."""
    entry = published()["TiTok-L-32"]
    with pytest.raises(UsageError, match="use_l2_norm"):
        read(shown(entry, codebook_size=4096))
    for wrong in ({"is_legacy": False}, {"num_latent_tokens": 64}, {"vit_dec_model_size": "base"}, {"crop_size": 512}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            read(shown(entry, use_l2_norm=True, **wrong))
    first = {key: value for key, value in entry["state_dict"].items() if not key.startswith("pixel_")}
    with pytest.raises(UsageError, match="first stage"):
        read(shown({"state_dict": first}, use_l2_norm=True))
