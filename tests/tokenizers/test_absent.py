"""A generator without its tokenizer: tokens work, and pictures are refused before any of them is drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nextset import Tokens, UsageError, catalogue
from nextset.layout import Continuous, Discrete, grid, line
from nextset.tokenizers.absent import Absent, stand_in

TINY = catalogue.spec("llamagen/tiny")


def test_layouts_and_units() -> None:
    assert Absent(5, 2, stride=4).layout((8, 12)) == grid(2, 3)
    assert Absent(5, line=7).layout((8, 12)) == line(7)
    for unit in (Discrete(5), Discrete(5, 3), Continuous(4)):
        assert stand_in(unit).unit == unit


@pytest.mark.parametrize("sizes", [{}, {"vocab": 5, "dim": 2}, {"vocab": 5, "codes": 0}, {"dim": 2, "stride": 0}])
def test_sizes_that_make_no_sense(sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="give either vocab or dim"):
        Absent(**sizes)


def test_tokens_alone() -> None:
    """Likelihoods and drawing are those of the model with its tokenizer; pictures say what is missing."""
    whole = TINY.build().eval()
    model = replace(TINY, tokenizer=stand_in(TINY.tokenizer.unit, 1)).build().eval()
    model.network.load_state_dict(whole.network.state_dict())
    tokens = Tokens(torch.randint(5, (2, TINY.layout.sites)), TINY.layout)
    assert torch.equal(model.log_prob(tokens, 1), whole.log_prob(tokens, 1))
    drawn = [list(m.stream(1, seed=3))[-1].decoding.tokens.data for m in (model, whole)]
    assert torch.equal(*drawn)
    images = torch.zeros(1, 3, *TINY.size)
    for work in (
        lambda: model.generate(1),
        lambda: model.loss(images, 1),
        lambda: model.edit(images, torch.ones(TINY.size, dtype=torch.bool), 1),
        lambda: model.decode(tokens),
    ):
        with pytest.raises(UsageError, match="loaded without its tokenizer"):
            work()


def test_generating_is_refused_before_anything_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(TINY, tokenizer=stand_in(TINY.tokenizer.unit, 1)).build()
    monkeypatch.setattr(model, "stream", lambda *args, **kwargs: pytest.fail("drawn"))
    with pytest.raises(UsageError, match="loaded without its tokenizer"):
        model.generate(1)
