"""Upsampled context: block-causal slots, what they are filled with, and systems that it does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import nextset
from nextset import UsageError
from nextset.backbones.base import BackboneModule
from nextset.conditions import Label
from nextset.layout import Discrete, Tokens, line, pyramid
from nextset.nn.places import ResizedMap
from nextset.orders import Raster, Scales
from nextset.slots import FOREVER, NONE, PREFIX, visible
from nextset.tokenizers.pixel import Pixel
from nextset.wirings import Upsampled

from ..laws.parts import CODEC
from ..laws.toys import conditions, lively, random_tokens


def test_table() -> None:
    """Two condition slots, of which one starts; then blocks, which carry all before them."""
    table = Upsampled().whole((1, 4), prefix=2)
    assert table.holds.tolist() == [PREFIX, PREFIX, 0, 0, 0, 0]
    assert table.at.tolist() == table.predicts.tolist() == [NONE, 0, 1, 2, 3, 4]
    assert set(table.until.tolist()) == {FOREVER}


def test_block_causal() -> None:
    """A site of scale i sees one of scale j iff i >= j."""
    sizes = (1, 4, 9)
    table = Upsampled().whole(sizes, prefix=1)
    scale = np.repeat(np.arange(3), sizes)
    assert (visible(table, table) == (scale[:, None] >= scale[None])).all()


def test_a_step_computes_its_own_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """In training all scales in one go, in decoding only the new one."""
    model = lively(nextset.spec("var/tiny"))
    asked: list[range] = []
    own = model.tokenizer.feedback

    def watched(tokens: Tokens, scales: range) -> torch.Tensor:
        asked.append(scales)
        return own(tokens, scales)

    monkeypatch.setattr(model.network.wiring, "_feedback", watched)
    model.log_prob(Tokens(random_tokens(model, 2), model.system.layout), conditions(model, 2))
    assert asked == [range(1, 3)]
    asked.clear()
    model.generate(conditions(model, 2))
    assert asked == [range(1, 2), range(2, 3)]


def test_contents() -> None:
    """Start tokens are condition slots with a vector and a position; others what is fed back, mapped, with positions."""
    layout = pyramid(1, 2)
    module = Upsampled(ResizedMap(2)).build(8, nextset.spec("var/tiny").tokenizer.unit, layout, CODEC)
    tokens, prefix = torch.tensor([[3, 0, 0, 0, 0]]), torch.randn(1, 1, 8)
    plan = Scales().plan(layout, nextset.noise.Noise(0, range(1)))
    script = nextset.wirings.Script(Upsampled(ResizedMap(2)), plan.sizes, 1, torch.device("cpu"))
    filled = module.fill(script.whole, prefix, tokens, plan)
    assert torch.allclose(filled[:, :1], prefix + module.start + module.places(layout, range(1)))
    expected = module.embed(CODEC.feedback(Tokens(tokens, layout), range(1, 2))) + module.places(layout, range(1, 2))
    assert torch.allclose(filled[:, 1:], expected)


def test_the_tokenizer_stays_the_models() -> None:
    model = nextset.spec("var/tiny").build()
    assert not any("tokenizer" in name or "encoder" in name for name, _ in model.network.named_modules())
    assert isinstance(model.network.backbone, BackboneModule)


def test_misfits() -> None:
    tiny = nextset.spec("var/tiny")
    with pytest.raises(UsageError, match="one block of the layout a step"):
        replace(tiny, order=Raster()).network()
    with pytest.raises(UsageError, match="from as many condition slots"):
        replace(tiny, condition=Label(3, slots=0, vector=True)).network()
    with pytest.raises(UsageError, match="resizes maps"):
        Upsampled().build(8, tiny.tokenizer.unit, line(5), CODEC)
    with pytest.raises(UsageError, match="no scales to feed back"):
        Upsampled().build(8, Discrete(5), pyramid(1, 2), Pixel(5).build())
