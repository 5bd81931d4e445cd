"""VAR and its tokenizer against recorded outputs of the official code, and the key maps against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, scales and guidance come from them. Tolerances from the README: 2e-4
for logits, 5e-5 for pixels and latents, ids exactly.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, Pick, UsageError
from nextset.decode import Linear
from nextset.decode.guidance import from_extra
from nextset.layout import Tokens, pyramid
from nextset.official.multiscale import CODER
from nextset.official.var import FAMILY, KEYS, PUBLISHED
from nextset.systems.var import SIZES
from nextset.tokenizers.multiscale import MultiScaleVQModule, phi_of
from nextset.weights import load_official
from nextset.weights.official import ROLES

from .recordings import Recorder, Recordings, arguments, assert_published, assert_read, near

RECORDED = Recordings("var")
pytestmark = RECORDED.needed
LOGITS, LATENTS = 2e-4, 5e-5
KINDS = {"gen": "weights_var", "saln": "weights_var_saln"}
MANIFEST = RECORDED.published
TOKENIZERS = [name for name, entry in MANIFEST.items() if "models.vqvae.VQVAE" in entry["constructor"]]


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
        numbered = (f"{name}{k}" for k in itertools.count())
        found = [self.io[key] for key in itertools.takewhile(self.io.__contains__, numbered)]
        assert found, name
        return found


def said(config: dict[str, Any], file: str) -> dict[str, Any]:
    """The official constructor arguments of both, with what was patched."""
    official = config["constructor"]
    patched = next(value for key, value in official.items() if key.startswith("encoder_decoder_override"))
    return {"network": official[f"models.var.VAR ({file})"], "tokenizer": official["models.vqvae.VQVAE"] | patched}


def files(file: str) -> dict[str, Path]:
    return {
        role: RECORDED.folder / f"{name}.safetensors" for role, name in zip(ROLES, (file, "weights_vae"), strict=True)
    }


@pytest.fixture(scope="module")
def golden() -> Golden:
    config, models = RECORDED.read("config.json"), {}
    for kind, file in KINDS.items():
        model = load_official("var", files(file), said(config, file))
        assert isinstance(model, Model)
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
    sides, phis = golden.module.spec.sides, len(golden.module.phis)
    if not phis:
        pytest.skip("codes are added as they are")
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
    pick = Pick(top_k=sampling["top_k"], top_p=sampling["top_p"] or 1.0)
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


def mixtures(golden: Golden) -> dict[int, Tensor]:
    """What `more_smooth` feeds back for the scale of so many sites: codes mixed by a Gumbel-softmax that sharpens with the scales."""
    found, last = {}, len(golden.module.spec.sides) - 1
    noisy = zip(golden.each("smooth_filtered_scale"), golden.each("smooth_gumbel_scale"), strict=True)
    for scale, (logits, gumbel) in enumerate(noisy):
        sharp = max(0.27 * (1 - 0.95 * scale / last), 0.005)
        mixed = ((logits * (1 + scale / last) + gumbel) / sharp).softmax(-1)
        found[logits.shape[1]] = mixed @ golden.module.codebook.weight
    return found


def test_smooth_sampling_replayed(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the recorded mixtures of codes stand in for codes, which no option of ours does: distributions, and the picture."""
    sampling, mixed, recorder = golden.config["sampling"], mixtures(golden), Recorder()
    pick = Pick(top_k=sampling["top_k"], top_p=sampling["top_p"] or 1.0)

    def embed(ids: Tensor) -> Tensor:
        return torch.cat([mixed[ids.shape[1]]] * (len(ids) // len(golden.io["gen_labels"])))  # both halves of guidance

    monkeypatch.setattr(golden.module.codebook, "embed", embed)
    guidance = Linear(from_extra(sampling["cfg"]))
    *_, last = golden.models["gen"].stream(golden.io["gen_labels"], guidance=guidance, pick=recorder)
    for ours, filtered in zip(recorder.seen, golden.each("smooth_filtered_scale"), strict=True):
        near(pick.probabilities(ours), filtered.softmax(-1), LOGITS)
    near(shown(last.images()), golden.io["smooth_image"], LATENTS)


# -- families


@pytest.mark.parametrize(("kind", "file"), KINDS.items())
def test_keys_go_there_and_back(golden: Golden, kind: str, file: str) -> None:
    model, spec = golden.models[kind], golden.module.spec
    for name, back in (
        (file, FAMILY.keys(model.system).to_theirs(model.network.state_dict())),
        ("weights_vae", CODER.keys(spec).to_theirs(golden.module.state_dict())),
    ):
        official = RECORDED.tensors(name)
        assert back.keys() == official.keys()
        for key, value in official.items():
            assert torch.equal(back[key], value), key


def test_what_the_shapes_do_not_show(golden: Golden) -> None:
    """The scales are asked for, and few other arguments change anything; without a tokenizer nothing can be computed."""
    file, sides = KINDS["gen"], golden.module.spec.sides
    config = said(golden.config, file)
    names = {"network": ("norm_eps", "cond_drop_rate"), "tokenizer": ("beta", "quant_resi", "using_znorm")}
    few = {role: {name: config[role][name] for name in names[role]} for role in ROLES}
    with pytest.raises(UsageError, match="do not show v_patch_nums"):
        load_official("var", files(file), few)
    shown = load_official("var", files(file), few | {"tokenizer": few["tokenizer"] | {"v_patch_nums": list(sides)}})
    assert isinstance(shown, Model)
    assert shown.system == golden.models["gen"].system
    wrong = few["tokenizer"] | {"v_patch_nums": [*sides[:-1], sides[-1] + 1]}
    with pytest.raises(UsageError, match="give the same patch_nums and v_patch_nums"):
        load_official("var", files(file), few | {"tokenizer": wrong})
    with pytest.raises(UsageError, match="give both"):
        load_official("var", files(file)["network"], few["network"])


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        ("network", "depth", 77),
        ("network", "num_heads", 77),
        ("network", "mlp_ratio", 1.5),
        ("network", "attn_l2_norm", False),
        ("network", "drop_rate", 0.3),
        ("tokenizer", "ch", 77),
        ("tokenizer", "vocab_size", 77),
    ],
)
def test_a_config_that_is_not_of_the_files_is_refused(golden: Golden, role: str, name: str, value: Any) -> None:
    config = said(golden.config, KINDS["gen"])
    with pytest.raises(UsageError, match=name):
        load_official("var", files(KINDS["gen"]), config | {role: config[role] | {name: value}})


@pytest.mark.parametrize("name", TOKENIZERS)
def test_published_tokenizers(name: str) -> None:
    entry = MANIFEST[name]
    spec = CODER.read(arguments(entry, entry["constructor"]))
    size = next(size for size, known in CODER.sizes.items() if known == spec)
    assert CODER.published[size].tokenizer.endswith(f":{entry['file']}")
    module = assert_published(spec.build, CODER.keys(spec), entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["parameters"]


@pytest.mark.parametrize("name", [name for name in MANIFEST if name not in TOKENIZERS])
def test_published_generators(name: str) -> None:
    """What shapes and arguments say is a size of ours, with the tokenizer of its scales."""
    entry = MANIFEST[name]
    size = next(size for size, where in PUBLISHED.items() if where.network.endswith(f":{entry['file']}"))
    assert_read(FAMILY, entry, entry["constructor"], SIZES[size], ())
    module = assert_published(SIZES[size].network, KEYS, entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["parameters"]


def test_published_files_are_those_of_the_manifest() -> None:
    listed = {f"{entry['repo'].removeprefix('https://huggingface.co/')}:{entry['file']}" for entry in MANIFEST.values()}
    assert {file for where in PUBLISHED.values() for file in where.files} == listed
