"""Models for inference: what the options mean, and what is refused. That all systems draw the same is a law (tests/laws)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import nextset
from nextset import Model, Pick, UsageError
from nextset.inference import has_bfloat16
from nextset.mixers import Exact
from nextset.nn.packed import BFloat16Linear, Float16Linear, Float32Linear, Int8Linear, has_fbgemm
from tests.laws.toys import BASE, conditions, lively, random_tokens

needs_fbgemm = pytest.mark.skipif(not has_fbgemm(), reason="this build of torch has no FBGEMM")
GREEDY = Pick(temperature=0)


@pytest.fixture(autouse=True)
def everything_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small."""
    monkeypatch.setattr("nextset.inference.WORTH", 0)


@pytest.fixture(scope="module")
def model() -> Model:
    """Some rows of weights are long enough to be told apart from their rounding."""
    return lively(replace(BASE, backbone=replace(BASE.backbone, dim=128)))


def test_small_layers_stay(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextset.inference.WORTH", 128 * 128 + 1)
    kept = {n for n, m in model.for_inference().network.backbone.named_modules() if type(m) is torch.nn.Linear}
    assert kept == {n for n, m in model.network.backbone.named_modules() if n.endswith("mixer.out")}


def kinds(model: Model) -> set[type]:
    """Of the backbone's linear layers."""
    return {type(module) for module in model.network.backbone.modules() if hasattr(module, "weight")} - {
        type(model.network.backbone.norm)
    }


@needs_fbgemm
def test_what_is_packed_how(model: Model) -> None:
    assert kinds(model.for_inference()) == {Float32Linear}
    assert kinds(model.for_inference(quantize="int8")) == {Int8Linear}
    assert kinds(model.for_inference(dtype="float16")) == {Float16Linear}
    assert kinds(model.for_inference(dtype="bfloat16")) == {BFloat16Linear if has_bfloat16() else Float16Linear}


@needs_fbgemm
@torch.inference_mode()
def test_hidden_vectors_of_int8_are_near(model: Model) -> None:
    """A few layers that are each off by about 1.3% (tests/nn/test_packed.py), and yet not the same: weights as training starts."""
    torch.manual_seed(0)
    fresh = model.system.build().eval()
    tokens, condition = random_tokens(fresh, 3), conditions(fresh, 3)
    plan = fresh.network.plan(0, 3, tokens.device)
    both = (fresh, fresh.for_inference(quantize="int8"))
    exact, rough = (m.network.hidden(tokens, m.network.condition(condition), plan) for m in both)
    assert 1e-3 < (rough - exact).norm() / exact.norm() < 0.05


@needs_fbgemm
def test_int8_draws_each_picture_alone_as_in_a_batch(model: Model) -> None:
    fast, condition = model.for_inference(quantize="int8"), conditions(model, 5)
    together = fast.generate(condition, seed=3)
    for i in range(5):
        assert torch.equal(fast.generate(condition[i : i + 1], seed=3, first=i), together[i : i + 1])


def test_memory_is_shared_where_nothing_changes(model: Model) -> None:
    fast = model.for_inference()
    assert fast.network.wiring.embed.weight is model.network.wiring.embed.weight
    assert fast.tokenizer.state_dict().keys() == model.tokenizer.state_dict().keys()


@pytest.mark.parametrize("packed", [True, False])
def test_bfloat16_where_the_device_multiplies_it(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the decoder of pixels has it, and all of the network where nothing can be packed; pictures are float32 again."""
    monkeypatch.setattr("nextset.inference.has_bfloat16", lambda: True)
    if not packed:
        monkeypatch.setattr("nextset.inference.packing", lambda dtype: None)
    model = nextset.spec("var/tiny").build().eval()
    fast = model.for_inference(dtype="bfloat16")
    assert {p.dtype for p in fast.painter.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in fast.network.parameters()} == {torch.float32 if packed else torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    images = fast.generate(conditions(model, 2), seed=1)
    assert images.dtype == torch.float32
    assert images.isfinite().all()


def test_without_fbgemm_int8_still_saves_memory(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextset.inference.has_fbgemm", lambda: False)
    fast = model.for_inference(quantize="int8")
    bytes_of = [sum(t.nbytes for t in m.network.backbone.state_dict().values()) for m in (model, fast)]
    assert bytes_of[1] < 0.3 * bytes_of[0]
    assert fast.generate(conditions(model, 2)).isfinite().all()


def test_compiled_draws_the_same(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced, and run as it was traced: a compiler of C++ is not needed to see that."""
    compiled: list[Callable[..., object]] = []
    real = torch.compile

    def traced(function: Callable[..., object]) -> Callable[..., object]:
        compiled.append(function)
        return real(function, backend="eager")

    monkeypatch.setattr(torch, "compile", traced)
    condition = conditions(model, 2)
    for options in ({}, {"dtype": "float16"}):
        fast = functools.partial(model.for_inference, **options)
        expected = fast().generate(condition, pick=GREEDY)
        assert torch.equal(fast(compile=True).generate(condition, pick=GREEDY), expected)
    assert compiled


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "bfloat"}, "dtype must be one of float32, bfloat16, float16, got 'bfloat'"),
        ({"quantize": "int4"}, "quantize must be int8, or None, got 'int4'"),
    ],
)
def test_what_is_refused(model: Model, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model.for_inference(**options)


def test_keeping_goes_with_the_model(model: Model) -> None:
    kept = Exact()
    assert model.for_inference(keeping=kept).network.keeping is kept
    assert nextset.spec("var/tiny").build().network.keeping == Exact()
