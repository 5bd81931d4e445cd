"""Next-scale systems as a user meets them: other schedules with the same weights, edits, training, pictures on the way."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import nextset
from nextset import Model, Pick, UsageError, catalogue
from nextset.data.encode import write_cache
from nextset.data.open import open_dataset
from nextset.layout import Tokens, pyramid
from nextset.systems.flexvar import resized
from nextset.train import Recipe, set_up_generator

from .laws.toys import conditions, lively, random_tokens

FLEX, VAR = nextset.spec("flexvar/tiny"), nextset.spec("var/tiny")


@pytest.mark.parametrize("sides", [(1, 4), (1, 2, 3, 4), (2, 4), (1, 3, 6)])
def test_any_schedule_with_the_same_weights(sides: tuple[int, ...]) -> None:
    """Also sides and sizes never trained on; a first scale of four sites wants as many condition slots."""
    model = lively(FLEX)
    other = resized(FLEX, *sides)
    if sides[0] > 1:
        with pytest.raises(UsageError, match="as many condition slots"):
            other.build()
        return
    changed = other.build()
    changed.load_state_dict(model.state_dict())
    images = changed.eval().generate([0, 1, 2], seed=1)
    assert images.shape == (3, 1, sides[-1], sides[-1])
    assert changed.log_prob(images, [0, 1, 2]).isfinite().all()


def test_var_knows_its_own_scales_only() -> None:
    other = replace(VAR, tokenizer=replace(VAR.tokenizer, sides=(1, 3, 4))).build()
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict(lively(VAR).state_dict())


def test_training_goes_over_schedules() -> None:
    """Each seed encodes on its own layout; in evaluation mode on the system's own."""
    model = FLEX.build().train()
    images = torch.rand(4, 1, 4, 4) * 2 - 1
    seen: set[tuple[tuple[int, ...], ...]] = set()
    own = model.tokenizer.encode_on

    def watched(images: torch.Tensor, layout: nextset.Layout) -> Tokens:
        seen.add(layout.blocks)
        return own(images, layout)

    model.tokenizer.encode_on = watched  # type: ignore[method-assign]
    for seed in range(12):
        model.loss(images, [0, 1, 2, 0], seed=seed)["loss"].backward()
    assert seen == {pyramid(*sides).blocks for sides in ((1, 2, 4), (1, 3, 4))}
    seen.clear()
    for seed in range(4):
        model.eval().loss(images, [0, 1, 2, 0], seed=seed)
    assert seen == {FLEX.layout.blocks}


def test_a_cache_has_one_layout_only(tmp_path: Path) -> None:
    system = replace(resized(FLEX, 1, 4, 8), condition=replace(FLEX.condition, classes=10))  # type: ignore[type-var]
    model = system.build()
    write_cache(tmp_path / "cache", open_dataset("digits", "test"), model.tokenizer, system.tokenizer, (8, 8))
    with pytest.raises(UsageError, match="another one each step"):
        set_up_generator(model, str(tmp_path / "cache"), Recipe(steps=1))


@pytest.mark.parametrize("system", [FLEX, VAR], ids=["flexvar", "var"])
@pytest.mark.filterwarnings("ignore:.*kept sites")
def test_edits_give_known_sites_at_every_scale(system: nextset.System) -> None:
    """Given tokens stay, coarse ones too where half is kept; the others are drawn."""
    model = lively(system)
    images = model.decode(Tokens(random_tokens(model, 2), system.layout))
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[2:] = True
    given = model.encode(images).data
    kept = system.order.kept(system.layout, mask[None])[0]
    assert kept.tolist() == [True] + [True, True, False, False] + [True] * 8 + [False] * 8
    seen: list[Tokens] = []
    own = model.tokenizer.decode

    def watched(tokens: Tokens) -> torch.Tensor:
        seen.append(tokens)
        return own(tokens)

    model.tokenizer.decode = watched  # type: ignore[method-assign]
    model.edit(images, mask, conditions(model, 2), seed=3, pick=Pick())
    drawn = seen[-1].data
    assert torch.equal(drawn[:, kept], given[:, kept])
    assert not torch.equal(drawn[:, ~kept], given[:, ~kept])


@pytest.mark.parametrize("system", [FLEX, VAR], ids=["flexvar", "var"])
def test_pictures_on_the_way(system: nextset.System) -> None:
    """After every scale there is a picture of the whole, from that scale's codes or their sum."""
    model: Model = lively(system)
    scales = len(system.layout.blocks)
    for partial in model.stream(conditions(model, 2), seed=1):
        shown, tokens = partial.images(), partial.decoding.tokens
        assert shown.shape == (2, 1, 4, 4)
        if partial.step < scales:
            sketch = model.tokenizer.sketch(tokens, partial.step)
            assert sketch is not None
            grown = torch.nn.functional.interpolate(sketch, (4, 4), mode="bilinear")
            assert torch.equal(shown, grown.clamp(-1, 1))
            assert not torch.equal(shown, torch.zeros_like(shown))


def test_unusual_sides_take_the_most_likely() -> None:
    logits = torch.zeros(1, 9, 4)
    logits[..., 2] = 0.1
    last = torch.full((1, 9), 0.999)
    assert Pick(sizes=(4, 16))(logits, last).eq(2).all()
    assert Pick(sizes=(9,))(logits, last).eq(3).all()
    assert FLEX.pick.sizes == (1, 4, 16)


def test_outpainting_adds_a_scale() -> None:
    """A larger picture has one side more, under the same weights, and keeps what it is given."""
    model = lively(catalogue.spec("flexvar/tiny"))
    images = model.generate([1, 2], seed=1)
    side = images.shape[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kept fine sites come after coarse ones that are redrawn
        drawn = model.outpaint(images, (0, 2, 2, 0), [1, 2], seed=3)
    assert drawn.shape[-2:] == (side + 2, side + 2)
    assert torch.equal(drawn[:, :, :side, 2:], images)
    with pytest.raises(UsageError, match="make them square"):
        model.outpaint(images, (0, 2, 0, 0), [1, 2])
