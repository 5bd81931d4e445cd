"""Hybrid tokens: ids and the rest make the latents, both readings learn, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nextset.errors import UsageError
from nextset.layout import Tokens, pyramid
from nextset.tokenizers.hybrid import HybridVQ, HybridVQModule, Split
from nextset.tokenizers.multiscale import MultiScaleVQ

TINY = HybridVQ(MultiScaleVQ(32, 4, (1, 2, 4), width=8, multipliers=(1, 2), blocks=1, groups=4, channels=1))


def pictures(count: int, generator: torch.Generator) -> Tensor:
    """Smooth images (count, 1, 8, 8) in [-1, 1]."""
    return F.interpolate(torch.rand(count, 1, 3, 3, generator=generator) * 2 - 1, size=8, mode="bilinear")


def lively(generator: torch.Generator, spec: HybridVQ = TINY) -> HybridVQModule:
    """A module whose codes are no smaller than its latents."""
    module = spec.build().eval()
    with torch.no_grad():
        module.vq.codebook.weight.copy_(torch.randn(module.vq.codebook.weight.shape, generator=generator))
    return module


@torch.no_grad()
@pytest.mark.parametrize("sides", [(1, 2, 4), (4,)], ids=str)
def test_ids_and_the_rest_make_the_latents(generator: torch.Generator, sides: tuple[int, ...]) -> None:
    module = lively(generator, replace(TINY, base=replace(TINY.base, sides=sides)))
    images = pictures(3, generator)
    split = module.split(images)
    torch.testing.assert_close(module.joined(split), module.latents(images), rtol=0, atol=1e-6)
    torch.testing.assert_close(module.restore(split), module.vq.paint(module.latents(images)), rtol=0, atol=1e-5)
    assert not torch.allclose(module.decode(split.tokens), module.restore(split), atol=1e-2)


@torch.no_grad()
def test_the_last_scale_alone_is_plain(generator: torch.Generator) -> None:
    """Scales before it are those of the multi-scale tokenizer; its ids are nearest to the rest, and add their codes as they are."""
    module = lively(generator)
    images = pictures(3, generator)
    split = module.split(images)
    plain = module.vq.encode(images)
    assert torch.equal(split.tokens.data[:, :5], plain.data[:, :5])
    distances = torch.cdist(split.rest, module.vq.codebook.weight.expand(3, -1, -1))
    assert torch.equal(split.tokens.data[:, 5:], distances.argmin(-1))
    before = module.vq.sums(split.tokens, 2)[-1]
    codes = module.embed(split.tokens.data[:, 5:]).transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(module.decode(split.tokens), module.vq.paint(before + codes))
    assert torch.equal(module.feedback(plain, range(1, 3)), module.vq.feedback(plain, range(1, 3)))
    for scales in (1, 2):
        assert torch.equal(module.sketch(plain, scales), module.vq.sketch(plain, scales))
    assert torch.equal(module.sketch(plain, 3), module.decode(plain))


@torch.no_grad()
def test_a_drawn_rest_moves_its_own_sites(generator: torch.Generator) -> None:
    """What a head adds to codes of the last scale is added to the latents there."""
    module = lively(generator)
    tokens = Tokens(torch.randint(32, (2, 21), generator=generator), pyramid(1, 2, 4))
    coded = module.coded(tokens)
    drawn = torch.zeros_like(coded.rest)
    drawn[1, 6] = 1
    moved = (module.joined(Split(tokens, coded.rest + drawn)) - module.joined(coded)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(moved, drawn, rtol=0, atol=1e-6)


def test_skipping_says_what_is_painted(generator: torch.Generator) -> None:
    """Never: the latents whole. Always: what the multi-scale tokenizer paints. Else some of each, picture by picture."""
    module, images = lively(generator), pictures(32, generator)
    whole, coded = module.vq.paint(module.latents(images)), module.vq.loss(images)["reconstruction"]
    for skip, expected in ((0.0, whole), (1.0, coded)):
        module.spec = replace(TINY, skip=skip)
        figures = module.loss(images)
        torch.testing.assert_close(figures["reconstruction"], expected)
        torch.testing.assert_close(figures["codebook"], module.vq.loss(images)["codebook"])
    module.spec = TINY
    painted = module.loss(images)["reconstruction"]
    far = torch.stack([(painted - way).abs().amax((1, 2, 3)) for way in (whole, coded)])
    assert (far.amin(0) < 1e-5).all()
    assert 4 < (far[1] < 1e-5).sum() < 28


def test_both_readings_learn(generator: torch.Generator) -> None:
    """One decoder restores pictures from ids, and better from the whole latents; codes stay in use."""
    module = TINY.build().train()
    images = pictures(32, generator)
    optimiser = torch.optim.AdamW(module.parameters(), 5e-3)
    for step in range(1, 161):
        figures = module.loss(images)
        optimiser.zero_grad()
        figures["loss"].backward()
        optimiser.step()
        if step % 20 == 0 and step < 130:
            module.revive(images)
    module.eval()
    split = module.split(images)
    coded, whole = (F.mse_loss(module.decode(split.tokens), images), F.mse_loss(module.restore(split), images))
    assert whole < coded < 0.4 * images.var()
    assert figures["usage"] > 0.5
    assert 0 < figures["usage_1"] <= figures["usage_3"] <= 1


def test_frozen_codes_stay(generator: torch.Generator) -> None:
    """The decoder alone gets a gradient, and no code moves."""
    module, images = TINY.build().train(), pictures(8, generator)
    module.freeze()
    module.loss(images)["loss"].backward()
    learning = {name.split(".")[1] for name, value in module.named_parameters() if value.grad is not None}
    assert learning == {"decoder", "widen"}
    assert module.revive(images) == 0


def test_it_runs_in_bfloat16(generator: torch.Generator) -> None:
    images, module = pictures(2, generator), TINY.build()
    with torch.autocast("cpu", torch.bfloat16):
        module.loss(images)["loss"].backward()
    cast = module.eval().to(torch.bfloat16)
    split = cast.split(images.bfloat16())
    assert split.rest.dtype == torch.float32
    assert cast.restore(split).dtype == cast.decode(split.tokens).dtype == torch.bfloat16


@pytest.mark.parametrize("skip", [-0.1, 1.5])
def test_bad_skip(skip: float) -> None:
    with pytest.raises(UsageError, match="skip must be a probability"):
        replace(TINY, skip=skip)
