"""VAR and its tokenizer against recorded outputs of the official code, and the key maps against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, scales and guidance come from them. Tolerances from the README: 2e-4
for logits, 5e-5 for pixels and latents, ids exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, Pick, System
from nextset.backbones import Transformer
from nextset.decode import Linear
from nextset.decode.guidance import from_extra
from nextset.folders import load_exactly
from nextset.layout import Tokens, pyramid
from nextset.mixers import CosineAttention
from nextset.nn.modulation import Each, Grouped
from nextset.official.multiscale import KEYS as VAE_KEYS
from nextset.official.var import KEYS
from nextset.systems.var import PUBLISHED, SIZES, VAE_FILE, var
from nextset.tokenizers.multiscale import MultiScaleVQ, MultiScaleVQModule, phi_of

from .recordings import Recorder, Recordings, assert_published, near

RECORDED = Recordings("var")
pytestmark = RECORDED.needed
LOGITS, LATENTS = 2e-4, 5e-5
KINDS = ("gen", "saln")


@dataclass(frozen=True)
class Golden:
    """The recordings, and our models with their weights, by kind."""

    config: dict[str, Any]
    io: dict[str, Tensor]
    models: dict[str, Model]

    @property
    def module(self) -> MultiScaleVQModule:
        found = self.models["gen"].tokenizer
        assert isinstance(found, MultiScaleVQModule)
        return found

    def each(self, name: str) -> list[Tensor]:
        """The recordings `name`0, `name`1, ... of all scales."""
        found = [self.io[f"{name}{k}"] for k in range(len(self.module.spec.sides)) if f"{name}{k}" in self.io]
        assert found, name
        return found


def tokenizer_of(config: dict[str, Any]) -> MultiScaleVQ:
    """Our spec of the official constructor arguments."""
    official = config["constructor"]["models.vqvae.VQVAE"]
    patched = next(v for k, v in config["constructor"].items() if k.startswith("encoder_decoder_override"))
    assert not official["using_znorm"]
    assert official["quant_conv_ks"] == 3
    return MultiScaleVQ(
        vocab=official["vocab_size"],
        dim=official["z_channels"],
        sides=tuple(official["v_patch_nums"]),
        width=official["ch"],
        multipliers=tuple(patched["ch_mult"]),
        blocks=patched["num_res_blocks"],
        beta=official["beta"],
        phis=official["share_quant_resi"],
        blend=official["quant_resi"],
    )


def system_of(official: dict[str, Any], tokenizer: MultiScaleVQ) -> System:
    """Our system of the official constructor arguments."""
    assert official["attn_l2_norm"]
    assert tuple(official["patch_nums"]) == tokenizer.sides
    heads, dim = official["num_heads"], official["embed_dim"]
    return var(
        official["depth"], tokenizer, official["num_classes"], dim // heads, heads, shared=official["shared_aln"]
    )


@pytest.fixture(scope="module")
def golden() -> Golden:
    config = RECORDED.read("config.json")
    vae = VAE_KEYS.to_ours(RECORDED.tensors("weights_vae"))
    models = {}
    for kind, file in zip(KINDS, ("weights_var", "weights_var_saln"), strict=True):
        model = system_of(config["constructor"][f"models.var.VAR ({file})"], tokenizer_of(config)).build().eval()
        load_exactly(model.tokenizer, vae, "weights_vae")
        load_exactly(model.network, KEYS.to_ours(RECORDED.tensors(file)), file)
        models[kind] = model
    return Golden(config, RECORDED.tensors("io"), models)


def tokens(golden: Golden, name: str) -> Tokens:
    return Tokens(torch.cat(golden.each(name), dim=1), pyramid(*golden.module.spec.sides))


def shown(images: Tensor) -> Tensor:
    """As the official code gives pictures: in [0, 1]."""
    return (images.clamp(-1, 1) + 1) / 2


# -- the tokenizer


@torch.no_grad()
def test_latents(golden: Golden) -> None:
    near(golden.module.encoder(golden.io["tok_pixels"]), golden.io["tok_encoder_out"], LATENTS)
    near(golden.module.latents(golden.io["tok_pixels"]), golden.io["tok_latent"], LATENTS)


def test_phis(golden: Golden) -> None:
    sides, phis = golden.module.spec.sides, golden.module.spec.phis
    assert [phi_of(k, len(sides), phis) for k in range(len(sides))] == golden.config["phi_index_per_scale"]


@torch.no_grad()
def test_residuals(golden: Golden) -> None:
    """Ids of every scale exactly, the running sums, and what is fed back of them."""
    encoded = golden.module.encode(golden.io["tok_pixels"])
    assert torch.equal(encoded.data, tokens(golden, "tok_ids_scale").data)
    blocks = encoded.layout.blocks
    found = golden.module.quantise(golden.io["tok_latent"], blocks)
    for ours, theirs in zip(found.sums, golden.each("tok_fhat_scale"), strict=True):
        near(ours, theirs, LATENTS)
    near(golden.module.feedback(encoded, range(1, len(blocks))), golden.io["tok_var_input"], LATENTS)
    for model, kind in ((golden.models[kind], kind) for kind in KINDS):
        given = model.tokenizer.feedback(tokens(golden, "gen_ids_scale"), range(1, len(blocks)))
        near(given, golden.io[f"{kind}_var_input"], LATENTS)


@torch.no_grad()
def test_rectangles(golden: Golden) -> None:
    blocks = tuple(map(tuple, golden.config["rect_patch_hws"]))
    latents = golden.module.latents(golden.io["tok_pixels_rect"])
    near(latents, golden.io["tok_rect_latent"], LATENTS)
    for ours, theirs in zip(
        golden.module.quantise(latents, blocks).ids, golden.each("tok_rect_ids_scale"), strict=True
    ):
        assert torch.equal(ours, theirs)


@torch.no_grad()
def test_pictures(golden: Golden) -> None:
    """Of the sums after every scale, and of the whole way."""
    found = golden.module.quantise(golden.io["tok_latent"], pyramid(*golden.module.spec.sides).blocks)
    for ours, theirs in zip(found.sums, golden.each("tok_recon_scale"), strict=True):
        near(golden.module.paint(ours).clamp(-1, 1), theirs, LATENTS)
    raw = golden.module.decode(tokens(golden, "tok_ids_scale"))
    near(raw, golden.io["tok_decoder_raw"], LATENTS)
    near(raw.clamp(-1, 1), golden.io["tok_recon"], LATENTS)
    figures = golden.module.loss(golden.io["tok_pixels"])
    near(figures["reconstruction"], golden.io["tok_forward_recon"], LATENTS)
    near(figures["codebook"], golden.io["tok_vq_loss"][0], LATENTS)


# -- the generator


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
def test_teacher_forced_logits(golden: Golden, kind: str) -> None:
    model, given = golden.models[kind], tokens(golden, "gen_ids_scale")
    network = model.network
    for labels, name in ((golden.io["gen_labels"], "tf_logits"), (None, "tf_logits_uncond")):
        prepared = network.condition.prepare(labels, len(given), model.device)
        hidden = network.hidden(given.data, network.condition(prepared), network.plan(0, len(given), model.device))
        near(network.head.logits(hidden), golden.io[f"{kind}_{name}"], LOGITS)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_generation_through_the_cache(golden: Golden, kind: str) -> None:
    """Ids exactly, the guided logits that decided them, and the picture."""
    extra, steps = golden.config["sampling"]["cfg"], len(golden.module.spec.sides)
    guidance, recorder = Linear(from_extra(extra)), Recorder()
    scales = torch.tensor([guidance.at(k, steps, 0, 1, 1) for k in range(steps)])
    near(scales - 1, golden.io[f"{kind}_greedy_cfg_t"], 1e-6)
    *_, last = golden.models[kind].stream(golden.io["gen_labels"], guidance=guidance, pick=recorder)
    assert torch.equal(last.decoding.tokens.data, tokens(golden, f"{kind}_greedy_ids_scale").data)
    for ours, theirs in zip(recorder.seen, golden.each(f"{kind}_greedy_logits_scale"), strict=True):
        near(ours, theirs, LOGITS)
    near(shown(last.images()), golden.io[f"{kind}_greedy_image"], LATENTS)


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_replayed(golden: Golden, kind: str) -> None:
    """The logits of every step, and the distribution that is drawn from, when the recorded ids are drawn."""
    sampling, replay = golden.config["sampling"], Recorder(golden.each(f"{kind}_sample_ids_scale"))
    pick = Pick(top_k=sampling["top_k"], top_p=sampling["top_p"])
    *_, last = golden.models[kind].stream(
        golden.io["gen_labels"],
        guidance=Linear(from_extra(sampling["cfg"])),
        pick=replay,
    )
    recorded = zip(
        replay.seen,
        golden.each(f"{kind}_sample_logits_scale"),
        golden.each(f"{kind}_sample_filtered_scale"),
        strict=True,
    )
    for ours, logits, filtered in recorded:
        near(ours, logits, LOGITS)
        near(pick.probabilities(ours), filtered.softmax(-1), LOGITS)
    near(shown(last.images()), golden.io[f"{kind}_sample_image"], LATENTS)


# -- key maps


@pytest.mark.parametrize(("kind", "file"), [("gen", "weights_var"), ("saln", "weights_var_saln")])
def test_keys_go_there_and_back(golden: Golden, kind: str, file: str) -> None:
    official = RECORDED.tensors(file)
    back = KEYS.to_theirs(golden.models[kind].network.state_dict())
    assert back.keys() == official.keys()
    for key, value in official.items():
        assert torch.equal(back[key], value), key
    official = RECORDED.tensors("weights_vae")
    back = VAE_KEYS.to_theirs(golden.module.state_dict())
    assert back.keys() == official.keys()
    for key, value in official.items():
        assert torch.equal(back[key], value), key


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    """Both ways, on the meta device; sizes are those that SIZES says."""
    entry = RECORDED.published[name]
    ((kind, official),) = entry["constructor"].items()
    size = next(s for s in SIZES if entry["file"] in PUBLISHED.get(s, ()) and _fits(SIZES[s], official))
    build, keys = (SIZES[size].tokenizer.build, VAE_KEYS) if kind.endswith("VQVAE") else (SIZES[size].network, KEYS)
    module = assert_published(build, keys, entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["parameters"]


def _fits(size: System, official: dict[str, Any]) -> bool:
    tokenizer, backbone = size.tokenizer, size.backbone
    assert isinstance(tokenizer, MultiScaleVQ)
    assert isinstance(backbone, Transformer)
    if "v_patch_nums" in official:
        assert (tokenizer.vocab, tokenizer.dim, tokenizer.width) == tuple(
            official[key] for key in ("vocab_size", "z_channels", "ch")
        )
        return tokenizer.sides == tuple(official["v_patch_nums"])
    if (backbone.depth, backbone.dim) != (official["depth"], official["embed_dim"]):
        return False
    assert tokenizer.sides == tuple(official["patch_nums"])
    assert backbone.mixer == CosineAttention(official["num_heads"])
    assert isinstance(backbone.modulation, Grouped if official["shared_aln"] else Each)
    return True


def test_published_files_are_those_of_the_manifest() -> None:
    files = {entry["file"] for entry in RECORDED.published.values()}
    assert {file for files in PUBLISHED.values() for file in files} == files
    assert VAE_FILE in files
