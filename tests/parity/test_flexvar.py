"""FlexVAR and its tokenizer against recorded outputs of the official code, and the key maps against every published size.

Recordings lie in the folder that NEXTSET_PARITY names; sizes, schedules and guidance come from them. Tolerances from the README: 2e-4
for logits, 5e-5 for pixels and latents, ids exactly.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from nextset import Model, Pick, System, UsageError
from nextset.decode import Clipped, Constant, Guidance
from nextset.decode.guidance import from_extra
from nextset.folders import load_exactly
from nextset.layout import Layout, pyramid
from nextset.official.flexvar import CODER, FAMILY, PUBLISHED, VAE_KEYS
from nextset.official.vq import USED
from nextset.systems.flexvar import SIZES, resized
from nextset.systems.var import SIDES
from nextset.tokenizers.scalable import ScalableVQModule
from nextset.weights import load_official
from nextset.weights.official import ROLES

from .recordings import Recorder, Recordings, arguments, assert_published, assert_read, near

RECORDED = Recordings("flexvar")
pytestmark = RECORDED.needed
MANIFEST = RECORDED.published
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
        numbered = (f"{name}{k}" for k in itertools.count())
        found = [self.io[key] for key in itertools.takewhile(self.io.__contains__, numbered)]
        assert found, name
        return found

    @property
    def practised(self) -> Layout:
        """The layout of the recorded training batch."""
        return pyramid(*self.config["train_patch_nums"])


def said(config: dict[str, Any]) -> dict[str, Any]:
    """The official constructor arguments of both, with what was patched."""
    official = config["constructor"]
    tokenizer = official["models.vq_llama.VQModel(ModelArgs)"] | official["Encoder/Decoder override"]
    return {"network": official["models.flexvar.FlexVAR"], "tokenizer": tokenizer}


FILES = {
    role: RECORDED.folder / f"weights_{name}.safetensors" for role, name in zip(ROLES, ("flexvar", "vae"), strict=True)
}


@pytest.fixture(scope="module")
def golden() -> Golden:
    config = RECORDED.read("config.json")
    model = load_official("flexvar", FILES, said(config))
    assert isinstance(model, Model)
    return Golden(config, RECORDED.tensors("io"), model.system, model.state_dict())


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
    network, ends, context = model.network, layout.ends, golden.io[given]
    labels = golden.io["gen_labels"][: len(context)]
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
            near(Pick(top_k=top, top_p=run["top_p"] or 1.0).probabilities(ours), theirs.softmax(-1), LOGITS)
    near(model.tokenizer.decode(last.decoding.tokens).detach(), golden.io[f"{name}_image"], LATENTS)


# -- families


def test_keys_go_there_and_back(golden: Golden) -> None:
    """Every value; but which codes training used, where a file has it, nobody reads."""
    maps = {"network": FAMILY.keys(golden.system), "tokenizer": VAE_KEYS}
    for role, keys in maps.items():
        official, part = load_file(FILES[role]), f"{role}."
        back = keys.to_theirs({k.removeprefix(part): v for k, v in golden.state.items() if k.startswith(part)})
        assert back.keys() ^ official.keys() <= {USED}
        assert all(key == USED or torch.equal(back[key], value) for key, value in official.items())


def test_what_the_shapes_do_not_show(golden: Golden) -> None:
    """Nothing that has no default: without its scales a model has the usual ones. Without a tokenizer nothing can be computed."""
    config = said(golden.config)
    config["network"] = {name: config["network"][name] for name in ("norm_eps", "cond_drop_rate")}
    shown = load_official("flexvar", FILES, config)
    assert isinstance(shown, Model)
    assert replace(shown.system, pick=golden.system.pick) == resized(golden.system, *SIDES)
    with pytest.raises(UsageError, match="give both"):
        load_official("flexvar", FILES["network"], config["network"])


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        ("network", "num_heads", 77),
        ("network", "shared_aln", 77),
        ("network", "attn_drop_rate", 0.3),
        ("tokenizer", "codebook_size", 77),
    ],
)
def test_a_config_that_is_not_of_the_files_is_refused(golden: Golden, role: str, name: str, value: Any) -> None:
    config = said(golden.config)
    with pytest.raises(UsageError, match=name):
        load_official("flexvar", FILES, config | {role: config[role] | {name: value}})


@pytest.mark.parametrize("name", MANIFEST)
def test_every_published_key_and_shape(name: str) -> None:
    """Both ways, on the meta device; what shapes and arguments say is a size of ours."""
    entry = MANIFEST[name]
    size = next(size for size, where in PUBLISHED.items() if any(f.endswith(f":{entry['file']}") for f in where.files))
    system = SIZES[size]
    if PUBLISHED[size].tokenizer.endswith(f":{entry['file']}"):
        assert CODER.read(arguments(entry, entry["constructor"])) == system.tokenizer
        module = assert_published(system.tokenizer.build, VAE_KEYS, entry["state_dict"])
    else:
        assert_read(FAMILY, entry, entry["constructor"], system, ())
        module = assert_published(system.network, FAMILY.keys(system), entry["state_dict"])
    assert sum(p.numel() for p in module.parameters()) == entry["parameters"]


def test_published_files_are_those_of_the_manifest() -> None:
    listed = {f"{entry['repo'].removeprefix('https://huggingface.co/')}:{entry['file']}" for entry in MANIFEST.values()}
    assert {file for where in PUBLISHED.values() for file in where.files} == listed
