"""LlamaGen against recorded outputs of the official code, and its key map against every published size.

Recordings lie in the folder that NEXTSET_PARITY names. All sizes, scales and seeds come from them; tolerances from their
READMEs: 1e-4 for logits (measured noise 2e-5), 3e-4 for guided ones (8e-5), ids exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset import Model, Pick, catalogue
from nextset.decode import Interval
from nextset.decode.pick import keep_top_k, keep_top_p
from nextset.layout import Tokens
from nextset.official.llamagen import FAMILY, KEYS, PUBLISHED
from nextset.systems.llamagen import SIZES

from . import recordings
from .recordings import Recorder, Recordings, assert_published, assert_read, decimal, near, numbers, turns

FAMILIES = Recordings("llamagen_c2i"), Recordings("llamagen_t2i")
PLAIN, GUIDED = 1e-4, 3e-4


@dataclass(frozen=True)
class Golden:
    """One recorded instance: what the official code was given and gave, and our model with its weights."""

    config: dict[str, Any]
    official: dict[str, Tensor]
    io: dict[str, Tensor]
    model: Model

    @property
    def tokens(self) -> Tokens:
        """The recorded tokens."""
        return Tokens(self.io["in.tokens"], self.model.system.layout)

    @property
    def steps(self) -> int:
        """N; official logits have one more row, which predicts beyond the image."""
        return self.model.system.layout.sites

    def logits(self, asked: Any, guided_by: float = 1.0, without: bool = False) -> Tensor:
        """Teacher-forced logits (B, N, V); `without` the condition, or guided."""
        network = self.model.network
        prepared = network.condition.prepare(asked, len(self.tokens), self.model.device)
        plan = network.plan(0, len(self.tokens), self.model.device)
        with torch.inference_mode():
            conditional, null = (
                network.hidden(self.tokens.data, part(prepared), plan)
                for part in (network.condition, network.condition.null)
            )
            if without:
                return network.head.logits(null)
            return network.head.logits(conditional, null if guided_by != 1 else None, guided_by)

    def drawn(self, asked: Any, pick: Any, guidance: Any) -> Tensor:
        """Ids (B, N) of the cached engine."""
        *_, last = self.model.stream(asked, guidance=guidance, pick=pick)
        return last.decoding.tokens.data


def opened(family: Recordings) -> Golden:
    """The recording of a family, or a skipped test. Its losses were recorded without dropout."""
    family.require()
    config = family.read("config.json")
    return Golden(
        config, family.tensors("weights"), family.tensors("io"), recordings.opened(family, config["model_args"])
    )


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda recorded: recorded.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    return opened(request.param)


@pytest.fixture(scope="module")
def labelled() -> Golden:
    return opened(FAMILIES[0])


@pytest.fixture(scope="module")
def captioned() -> Golden:
    return opened(FAMILIES[1])


def asked(golden: Golden) -> Any:
    """The condition as a user gives it: labels, or what the text encoder made of the captions."""
    io = golden.io
    return io["in.labels"] if "in.labels" in io else (io["in.t5_features"], io["in.t5_mask"])


def test_logits(golden: Golden) -> None:
    """Teacher-forced in one pass: conditional, unconditional, guided."""
    io, scale = golden.io, golden.config["cfg_scale"]
    near(golden.logits(asked(golden)), io["out.logits"][:, : golden.steps])
    near(golden.logits(asked(golden), without=True), io["out.logits_uncond"][:, : golden.steps])
    near(golden.logits(asked(golden), scale), io["out.logits_cfg"][:, : golden.steps], GUIDED)


def test_logits_without_the_last_token(labelled: Golden) -> None:
    """Nothing that predicts within the image sees it."""
    near(labelled.logits(asked(labelled)), labelled.io["out.logits_short"])


def test_training_loss(golden: Golden) -> None:
    """In training mode, with every dropout at 0; captions can have samples that do not count."""
    model, io = golden.model.train(), golden.io
    prepared = model.network.condition.prepare(asked(golden), len(golden.tokens), model.device)
    losses = model.network.site_losses(golden.tokens, prepared, seed=0)
    model.eval()
    if "out.train_loss" in io:
        near(losses.mean()[None], io["out.train_loss"])
        near(model.loss(golden.tokens, asked(golden))["loss"][None], io["out.train_loss"])
    if "out.train_loss_valid" in io:
        near(losses[io["in.valid"].bool()].mean()[None], io["out.train_loss_valid"])
    near(golden.logits(asked(golden)), io["out.train_logits"])


def test_greedy_guided(golden: Golden) -> None:
    """Step by step through the cache: the same logits at every step, and exactly the same ids."""
    recorder, scale = Recorder(), golden.config["cfg_scale"]
    ids = golden.drawn(asked(golden), recorder, scale)
    assert torch.equal(ids, golden.io["out.greedy_cfg_tokens"])
    near(recorder.logits, golden.io["out.greedy_cfg_step_logits"], GUIDED)


def test_greedy_unguided(golden: Golden) -> None:
    ids = golden.drawn(asked(golden), Pick(temperature=0), 1.0)
    assert torch.equal(ids, golden.io["out.greedy_nocfg_tokens"])


def test_top_1_is_greedy(labelled: Golden) -> None:
    ids = labelled.drawn(asked(labelled), Pick(top_k=1), labelled.config["cfg_scale"])
    assert torch.equal(ids, labelled.io["out.topk1_cfg_tokens"])


def test_guidance_interval(labelled: Golden) -> None:
    """The official interval n guides the first n + 2 tokens; below 0 all."""
    recorder, config, steps = Recorder(), labelled.config, labelled.config["cfg_interval"] + 2
    guidance = Interval(config["cfg_scale"], stop=steps) if steps > 1 else config["cfg_scale"]
    ids = labelled.drawn(asked(labelled), recorder, guidance)
    assert torch.equal(ids, labelled.io["out.greedy_cfg_interval_tokens"])
    near(recorder.logits, labelled.io["out.greedy_cfg_interval_step_logits"], GUIDED)


def test_filters(labelled: Golden) -> None:
    """top-k, top-p and both; their settings are in the names of the recordings ("06" is 0.6)."""
    logits, seen = labelled.io["in.filter_logits"], 0
    for name, expected in labelled.io.items():
        match = re.fullmatch(r"out\.filter(?:_topk(\d+))?(?:_topp(\d+))?", name)
        if match:
            k, p = match.groups()
            ours = keep_top_k(logits, int(k)) if k else logits
            ours = keep_top_p(ours, decimal(p)) if p else ours
            assert torch.equal(ours, expected), name
            seen += 1
    assert seen == sum("out.filter" in name for name in labelled.io) > 0


def test_probabilities(labelled: Golden) -> None:
    logits, seen = labelled.io["in.filter_logits"], 0
    for name, expected in labelled.io.items():
        match = re.fullmatch(r"out\.sample_probs_t(\d+)_k(\d+)_p(\d+)", name)
        if match:
            t, k, p = match.groups()
            pick = Pick(decimal(t), int(k), decimal(p))
            near(pick.probabilities(logits), expected, 1e-6)
            seen += 1
    assert seen > 0


def test_rotary_table(labelled: Golden) -> None:
    """Every site's row, and zeros for the class slot."""
    slots = labelled.model.system.condition.slots
    table = turns(labelled.model.network.backbone.rotary, torch.arange(-1, labelled.steps))
    expected = labelled.io["out.rope_table"]
    near(table[1:], expected[slots:], 1e-6)
    near(table[:1].expand(slots, -1, -1), expected[:slots], 0)


def test_condition_slots(golden: Golden) -> None:
    """The embedded conditions, and those of which some rows were dropped."""
    condition, io = golden.model.network.condition, golden.io
    name = "caption" if "out.caption_embedding" in io else "class"
    prepared = condition.prepare(asked(golden), None, golden.model.device)
    dropped = io["in.drop_ids"].bool()[:, None, None]
    with torch.inference_mode():
        slots, null = condition(prepared).prefix, condition.null(prepared).prefix
    if name == "caption":
        near(slots, io["out.caption_embedding"])
    near(torch.where(dropped, null, slots), io[f"out.{name}_embedding_dropped"])


def test_captions_are_packed_to_the_right(captioned: Golden) -> None:
    """As the official script does; what is packed already stays as it is."""
    condition, io = captioned.model.network.condition, captioned.io
    packed = torch.cat([io["in.caption"], io["in.emb_mask"][..., None].float()], dim=-1)
    pairs = ((io["in.t5_features"], io["in.t5_mask"]), (io["in.caption"], io["in.emb_mask"]))
    for given in (*pairs, packed):
        assert torch.equal(condition.prepare(given, None, captioned.model.device), packed)


def test_slot_masks(captioned: Golden) -> None:
    """Who sees whom, of the whole sequence and of every decoding step."""
    network, expected = captioned.model.network, captioned.io["out.attn_mask"]
    conditioning = network.condition(network.condition.prepare(asked(captioned), None, captioned.model.device))
    script = network.script((1,) * captioned.steps, captioned.model.device)
    assert conditioning.valid is not None
    valid = torch.nn.functional.pad(conditioning.valid, (0, captioned.steps), value=True)
    end = 0
    for call in (script.whole, *script.steps):
        rows, end = len(call.table), len(call.table) if call is script.whole else end + len(call.table)
        ours = call.mask.padded(valid[:, :end], rows, end).dense
        assert ours is not None
        assert torch.equal(ours[:, 0].expand(-1, rows, -1), expected[:, end - rows : end, :end])
        end = 0 if call is script.whole else end


def test_prefix_logits(captioned: Golden) -> None:
    """What the head says at slots of the caption, which predict nothing: padding sees only itself. Every so many were recorded."""
    network, recorded = captioned.model.network, captioned.io["out.prefix_logits"]
    conditioning = network.condition(network.condition.prepare(asked(captioned), None, captioned.model.device))
    plan = network.plan(0, len(captioned.tokens), captioned.model.device)
    call = network.script(plan.sizes, captioned.model.device).whole
    assert conditioning.valid is not None
    with torch.inference_mode():
        x = network.wiring.fill(call, conditioning.prefix, captioned.tokens.data, plan)
        valid = torch.nn.functional.pad(conditioning.valid, (0, x.shape[1] - conditioning.valid.shape[1]), value=True)
        logits = network.head.logits(network.backbone(call.slots(x, plan, None, valid)))
    slots, rows = conditioning.prefix.shape[1], recorded.shape[1]
    fitting = [logits[:, :slots:every] for every in range(1, slots + 1) if len(range(0, slots, every)) == rows]
    near(min(fitting, key=lambda found: float((found - recorded).abs().max())), recorded)


def test_without_a_mask_every_slot_counts(captioned: Golden) -> None:
    """Features alone are all seen, padding too."""
    near(captioned.logits(captioned.io["in.caption"]), captioned.io["out.logits_nomask"][:, : captioned.steps])
    ids = captioned.drawn(captioned.io["in.caption"], Pick(temperature=0), captioned.config["cfg_scale"])
    assert torch.equal(ids, captioned.io["out.greedy_cfg_nomask_tokens"])


def test_keys_go_there_and_back(golden: Golden) -> None:
    back = KEYS.to_theirs(golden.model.network.state_dict())
    assert back.keys() == golden.official.keys()
    assert all(torch.equal(back[key], value) for key, value in golden.official.items())


# published sizes


def published() -> dict[str, dict[str, Any]]:
    """Every size of both manifests, by its official name."""
    return FAMILIES[0].published | FAMILIES[1].published


def labels(name: str) -> list[str]:
    """Our sizes of an official name: "GPT-XL t2i" is t2i-xl at every resolution, "GPT-B" is b and b-384."""
    size, _, kind = name.removeprefix("GPT-").lower().partition(" ")
    stem = f"{kind}-{size}".lstrip("-")
    return [label for label in SIZES if re.fullmatch(rf"{stem}(-\d+)?", label)]


@pytest.mark.parametrize("name", published())
def test_published_sizes_fit(name: str) -> None:
    entry = published()[name]
    assert labels(name)
    for label in labels(name):
        system = catalogue.spec(f"llamagen/{label}")
        network = assert_published(system.network, KEYS, entry["state_dict"])
        assert sum(p.numel() for p in network.parameters()) == entry["n_parameters"]
        assert sum(v.numel() for v in network.state_dict().values()) == entry["n_state_dict_values"]
        heads = system.backbone.mixer.heads  # type: ignore[attr-defined]
        assert_read(
            FAMILY,
            entry,
            {"n_head": heads} | numbers(entry["constructor"]) | {"block_size": system.layout.sites},
            system,
        )


@pytest.mark.skipif(not published(), reason="no manifest in the recordings")
def test_published_files_are_named() -> None:
    """PUBLISHED lists every official file once, at the size and resolution that it is of, and nothing else."""
    for name, entry in published().items():
        files = [PUBLISHED[label].network for label in labels(name) if label in PUBLISHED]
        repository = entry["checkpoint_repo"].removeprefix("huggingface ")
        assert sorted(files) == sorted(f"{repository}:{file}" for file in entry["checkpoint_files"])
    for label, found in PUBLISHED.items():
        assert found.network.endswith(f"_{SIZES[label].size[0]}.pt")
    named = {label for name in published() for label in labels(name)}
    assert PUBLISHED.keys() <= named
