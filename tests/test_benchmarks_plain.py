"""The plain contestants of the benchmarks: each writes what ours writes, on the same weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import nextset
from benchmarks.plain.aim import PlainAim
from benchmarks.plain.arpg import PlainArpg
from benchmarks.plain.hugging_face import HuggingFaceLlama
from benchmarks.plain.mar import PlainMar, betas
from benchmarks.plain.rar import PlainRar
from benchmarks.plain.var import PlainVar
from benchmarks.subjects import Asked, kind
from nextset import Model, UsageError
from nextset.nn.diffusion import cosine_betas
from nextset.nn.modulation import Each

SYSTEMS = ("llamagen", "var", "mar", "rar", "arpg", "aim")
NAMES = tuple(f"{name}/{size}" for name in SYSTEMS for size in ("tiny", "digits")) + ("aim/tiny each",)


def model(name: str) -> Model:
    """With weights so large that tokens, places, labels and biases matter."""
    name, _, each = name.partition(" ")
    system = nextset.spec(name)
    if each:
        system = replace(system, backbone=replace(system.backbone, modulation=Each()))
    torch.manual_seed(0)
    found = system.build().eval()
    with torch.no_grad():
        for weight in found.network.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.3 if name.endswith("tiny") else 0.1)
    return found


@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize("name", NAMES)
def test_both_draw_the_same(name: str, steps: int | None) -> None:
    """Tokens are equal. Tolerance of latents: float32 roundings through a chain of denoisings, relative to the largest."""
    found = model(name)
    asked = Asked(3)
    ours, plain = asked.ours(found)(steps), asked.plain(found)(steps)
    if ours.ndim == 2:
        assert torch.equal(plain, ours)
    else:
        torch.testing.assert_close(plain, ours, rtol=1e-4, atol=1e-4 * float(ours.abs().max()))
    assert ours.count_nonzero()
    assert ours.isfinite().all()


@pytest.mark.parametrize("name", [f"{name}/tiny" for name in SYSTEMS])
def test_guidance_is_compared_as_well(name: str) -> None:
    found = model(name)
    guided, unguided = (Asked(3, s).plain(found)(None) for s in (3.0, 1.0))
    assert not torch.equal(guided, unguided)


@pytest.mark.parametrize("name", [f"{name}/tiny" for name in SYSTEMS])
def test_it_draws_the_same_again(name: str) -> None:
    """No cache is left over from one drawing to the next."""
    found = model(name)
    draw = Asked(2).plain(found)
    assert torch.equal(draw(None), draw(None))


@pytest.mark.parametrize("name", [f"{name}/{size}" for name in SYSTEMS for size in ("tiny", "digits")])
def test_every_system_has_its_contestant(name: str) -> None:
    assert kind(nextset.spec(name)) == name.partition("/")[0]


def test_noise_is_the_same() -> None:
    assert betas(1000) == pytest.approx(cosine_betas(1000))


@pytest.mark.parametrize("plain", [PlainMar, PlainRar, PlainArpg, PlainAim])
def test_another_system_is_refused(plain: type) -> None:
    with pytest.raises(UsageError, match="the plain contestant is"):
        plain(nextset.spec("llamagen/tiny").network())


def test_var_refuses_as_well() -> None:
    found = nextset.spec("llamagen/tiny").build()
    with pytest.raises(UsageError, match="the plain contestant is"):
        PlainVar(found.network, found.tokenizer)


def test_the_cache_of_transformers_holds_the_past() -> None:
    """Its loop draws what one pass over its own tokens says, guided."""
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    other = HuggingFaceLlama(nextset.spec("llamagen/tiny").network())
    labels = torch.tensor([0, 2])
    tokens = other.generate(labels, 3.0).clone()
    tables = other.class_table, other.model.get_input_embeddings()
    told = []
    with torch.no_grad():
        for classes in (labels, torch.full_like(labels, other.classes)):
            x = torch.cat([tables[0](classes)[:, None], tables[1](tokens[:, :-1])], dim=1)
            told.append(other.model(inputs_embeds=x).logits)
    assert torch.equal((told[1] + 3.0 * (told[0] - told[1])).argmax(-1), tokens)
    assert torch.equal(other.generate(labels, 3.0, 4)[:, :4], tokens[:, :4])


def test_transformers_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="bench"):
        HuggingFaceLlama(nextset.spec("llamagen/tiny").network())
