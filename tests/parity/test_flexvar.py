"""FlexVAR and its tokenizer against recorded outputs of the official code, and the key maps against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, schedules and guidance come from them. Tolerances from the README: 2e-4
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
from nextset.decode import Clipped, Constant, Guidance
from nextset.decode.guidance import from_extra
from nextset.folders import load_exactly
from nextset.layout import Layout, pyramid
from nextset.mixers import CosineAttention
from nextset.official.flexvar import KEYS, VAE_KEYS
from nextset.official.vq import USED
from nextset.systems.flexvar import PUBLISHED, SIZES, flexvar, resized
from nextset.systems.var import SIDES, var
from nextset.tokenizers.scalable import ScalableVQ, ScalableVQModule
from nextset.tokenizers.vq import VQ

from .recordings import Recorder, Recordings, assert_published, near

RECORDED = Recordings("flexvar")
pytestmark = RECORDED.needed
LOGITS, LATENTS = 2e-4, 5e-5


@dataclass(frozen=True)
class Golden:
    """The recordings, and the official weights in our names."""

    config: dict[str, Any]
    io: dict[str, Tensor]
    system: System
    state: dict[str, Tensor]

    def model(self, *sides: int) -> Model:
        """The model of any schedule."""
        model = resized(self.system, *sides).build().eval()
        load_exactly(model, self.state, RECORDED.name)
        return model

    def each(self, name: str) -> list[Tensor]:
        """The recordings `name`0, `name`1, ... of all scales."""
        found = []
        while f"{name}{len(found)}" in self.io:
            found.append(self.io[f"{name}{len(found)}"])
        assert found, name
        return found

    @property
    def practised(self) -> Layout:
        """The layout of the recorded training batch."""
        return pyramid(*self.config["train_patch_nums"])


@pytest.fixture(scope="module")
def golden() -> Golden:
    config = RECORDED.read("config.json")
    vae, patched = (
        config["constructor"][k] for k in ("models.vq_llama.VQModel(ModelArgs)", "Encoder/Decoder override")
    )
    assert vae["encoder_ch_mult"] == vae["decoder_ch_mult"]
    base = VQ(
        vae["codebook_size"],
        vae["codebook_embed_dim"],
        patched["ch"],
        tuple(vae["encoder_ch_mult"]),
        patched["num_res_blocks"],
        latent=vae["z_channels"],
    )
    official = config["constructor"]["models.flexvar.FlexVAR"]
    assert official["attn_l2_norm"]
    assert not official["shared_aln"]
    heads, weights = official["num_heads"], RECORDED.tensors("weights_flexvar")
    like = var(official["depth"], classes=official["num_classes"], head=official["embed_dim"] // heads, heads=heads)
    tokenizer = ScalableVQ(base, tuple(official["patch_nums"]))
    system = flexvar(like, tokenizer, map_side=weights["pos_1LC"].shape[-1])
    state = {f"network.{k}": v for k, v in KEYS.to_ours(weights).items()}
    parts = VAE_KEYS.to_ours(RECORDED.tensors("weights_vae"))
    state |= {f"tokenizer.{k}": v for k, v in parts.items()}
    return Golden(config, RECORDED.tensors("io"), system, state)


# -- the tokenizer


def module_of(golden: Golden) -> ScalableVQModule:
    module = golden.model(*golden.config["train_patch_nums"]).tokenizer
    assert isinstance(module, ScalableVQModule)
    return module


@torch.no_grad()
def test_latents_and_full_size(golden: Golden) -> None:
    """What is resized, and the tokenizer at the latent's own size alone."""
    module, io = module_of(golden), golden.io
    near(module.vq.encoder(io["tok_pixels"]), io["tok_encoder_out"], LATENTS)
    latents = module.latents(io["tok_pixels"])
    near(latents, io["tok_latent"], LATENTS)
    alone = module.encode_on(io["tok_pixels"], pyramid(latents.shape[-1]))
    assert torch.equal(alone.data.flatten(), io["tok_full_ids"].flatten())
    near(module.codes(alone, 0).movedim(-1, 1), io["tok_full_quant"], LATENTS)
    near(module.decode(alone), io["tok_full_recon"], LATENTS)
    near(module.decode(alone), io["tok_decode_code"], LATENTS)


@torch.no_grad()
def test_scales(golden: Golden) -> None:
    """Ids of every scale exactly, their codes, and what is fed back."""
    module, layout = module_of(golden), golden.practised
    tokens = module.encode_on(golden.io["tok_pixels"], layout)
    assert torch.equal(tokens.data, golden.io["tok_ids"])
    for scale, theirs in enumerate(golden.each("tok_ms_quant_scale")):
        near(module.codes(tokens, scale).movedim(-1, 1), theirs, LATENTS)
    near(module.feedback(tokens, range(1, len(layout.blocks))), golden.io["tok_var_input"], LATENTS)


# -- the generator


@torch.inference_mode()
@pytest.mark.parametrize("given", ["gen_var_input", "tok_var_input"])
def test_teacher_forced_logits(golden: Golden, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the schedule of the recorded batch, by a network of another; of recorded inputs, whatever tokens they are of."""
    model, layout = golden.model(*golden.system.tokenizer.sides), golden.practised  # type: ignore[attr-defined]
    network, labels, ends = model.network, golden.io["gen_labels"], layout.ends
    context = golden.io[given]
    monkeypatch.setattr(
        network.wiring,
        "_feedback",
        lambda _, scales: context[:, ends[scales.start - 1] - 1 : ends[scales.stop - 1] - 1],
    )
    names = {"gen_var_input": (("gen_tf_logits", labels), ("gen_tf_logits_uncond", None))}
    for name, asked in names.get(given, (("gen_tf_logits_tok", labels),)):
        prepared = network.condition.prepare(asked, len(labels), model.device)
        plan = network.plan(0, len(labels), model.device, layout=layout)
        nothing = torch.zeros(len(labels), layout.sites, dtype=torch.int64)
        near(network.head.logits(network.hidden(nothing, network.condition(prepared), plan)), golden.io[name], LOGITS)


def schedule(run: dict[str, Any]) -> Guidance:
    """The guidance of a recorded run."""
    if run["used_llamagen_cfg"]:
        return Constant(run["cfg"])
    return Clipped(from_extra(run["cfg"]), largest=run["max_pn"] ** 2)


@pytest.mark.parametrize("run", RECORDED.read("config.json").get("runs", ()), ids=lambda run: run["name"])
def test_generation_through_the_cache(golden: Golden, run: dict[str, Any]) -> None:
    """On every recorded schedule with the same weights: guided logits, greedy ids exactly (drawn ones replayed), the picture."""
    name, model = run["name"], golden.model(*run["infer_patch_nums"])
    ids = golden.each(f"{name}_ids_scale")
    recorder = Recorder(None if run["top_k"] == 1 else ids)
    *_, last = model.stream(golden.io["gen_labels"], guidance=schedule(run), pick=recorder)
    assert torch.equal(last.decoding.tokens.data, torch.cat(ids, dim=1))
    for ours, theirs in zip(recorder.seen, golden.each(f"{name}_logits_scale"), strict=True):
        near(ours, theirs, LOGITS)
    if recorder.ids is not None:
        tops, filtered = golden.io[f"{name}_effective_top_k"].tolist(), golden.each(f"{name}_filtered_scale")
        for ours, top, theirs in zip(recorder.seen, tops, filtered, strict=True):
            near(Pick(top_k=top, top_p=run["top_p"]).probabilities(ours), theirs.softmax(-1), LOGITS)
    near(model.tokenizer.decode(last.decoding.tokens).detach(), golden.io[f"{name}_image"], LATENTS)


# -- key maps


def test_keys_go_there_and_back(golden: Golden) -> None:
    for keys, part, file in ((KEYS, "network.", "weights_flexvar"), (VAE_KEYS, "tokenizer.", "weights_vae")):
        official = RECORDED.tensors(file)
        back = keys.to_theirs({k.removeprefix(part): v for k, v in golden.state.items() if k.startswith(part)})
        assert back.keys() == official.keys()
        for key, value in official.items():
            made = key in ("attn_bias_for_masking", USED)  # not read by them either
            assert made or torch.equal(back[key], value), key


@pytest.mark.parametrize("name", RECORDED.published)
def test_every_published_key_and_shape(name: str) -> None:
    """Both ways, on the meta device; sizes are those that SIZES says."""
    entry = RECORDED.published[name]
    ((_, official),) = entry["constructor"].items()
    size = next(s for s in SIZES if entry["file"] in PUBLISHED.get(s, ()))
    system = SIZES[size]
    tokenizer, backbone = system.tokenizer, system.backbone
    assert isinstance(tokenizer, ScalableVQ)
    assert isinstance(backbone, Transformer)
    if "codebook_size" in official:
        assert tokenizer.base.vocab == official["codebook_size"]
        assert tokenizer.base.dim == official["codebook_embed_dim"]
        module = assert_published(tokenizer.build, VAE_KEYS, entry["state_dict"])
    else:
        assert (backbone.depth, backbone.dim) == (official["depth"], official["embed_dim"])
        assert backbone.mixer == CosineAttention(official["num_heads"])
        assert tuple(official["patch_nums"]) == SIDES == tokenizer.sides
        module = assert_published(system.network, KEYS, entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["parameters"]


def test_published_files_are_those_of_the_manifest() -> None:
    files = {entry["file"] for entry in RECORDED.published.values()}
    assert {file for files in PUBLISHED.values() for file in files} == files
