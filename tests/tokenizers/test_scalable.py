"""Scalable VQ: every scale is a quantisation by itself, on any sides, and only the scale before is fed back."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from nextset.errors import UsageError
from nextset.layout import Tokens, pyramid
from nextset.tokenizers.scalable import ScalableVQ
from nextset.tokenizers.vq import VQ

TINY = ScalableVQ(VQ(16, 4, 8, (1, 2), blocks=1, latent=8, groups=4, channels=1), (1, 2, 4))


@torch.no_grad()
def test_every_scale_is_the_resized_latent(generator: torch.Generator) -> None:
    """By brute force: the code of largest cosine to the mean of latents, whatever the other scales are."""
    module = TINY.build().eval()
    images = torch.rand(3, 1, 8, 8, generator=generator) * 2 - 1
    tokens, latents = module.encode(images), module.latents(images)
    codes = F.normalize(module.vq.codebook.weight, dim=-1)
    place = 0
    for side in TINY.sides:
        small = F.adaptive_avg_pool2d(latents, side).flatten(2).transpose(1, 2)
        best = (F.normalize(small, dim=-1) @ codes.T).argmax(-1)
        assert torch.equal(tokens.data[:, place : place + side * side], best)
        alone = module.encode_on(images, pyramid(side))
        assert torch.equal(alone.data, best)
        assert module.decode(alone).shape == (3, 1, 2 * side, 2 * side)
        place += side * side
    assert torch.equal(module.decode(tokens), module.decode(alone))  # the last scale alone


@torch.no_grad()
def test_only_the_scale_before_is_fed_back(generator: torch.Generator) -> None:
    module, layout = TINY.build().eval(), pyramid(1, 2, 4)
    data = torch.randint(16, (2, 21), generator=generator)
    fed = module.feedback(Tokens(data, layout), range(2, 3))
    codes = module.embed(data[:, 1:5]).transpose(1, 2).unflatten(2, (2, 2))
    assert torch.allclose(fed, F.interpolate(codes, (4, 4), mode="bicubic").flatten(2).transpose(1, 2))
    other = data.clone()
    other[:, 0], other[:, 5:] = (other[:, 0] + 1) % 16, 0
    assert torch.equal(module.feedback(Tokens(other, layout), range(2, 3)), fed)


def test_weights_know_no_sides() -> None:
    other = dataclasses.replace(TINY, sides=(1, 3, 5, 6)).build()
    other.load_state_dict(TINY.build().state_dict())
    assert other.spec.layout((12, 12)) == pyramid(1, 3, 5, 6)


def test_loss_is_the_mean_over_scales(generator: torch.Generator) -> None:
    module = TINY.build().eval()
    images = torch.rand(3, 1, 8, 8, generator=generator) * 2 - 1
    pixels = []
    for side in TINY.sides:
        alone = module.decode(module.encode_on(images, pyramid(side)))
        pixels.append(F.mse_loss(alone, F.adaptive_avg_pool2d(images, 2 * side)))
    figures = module.loss(images)
    torch.testing.assert_close(figures["pixel"], torch.stack(pixels).mean(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(figures["pixel_last"], pixels[-1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(figures["loss"], figures["pixel"] + figures["codebook"])


def test_what_it_refuses() -> None:
    with pytest.raises(UsageError, match="change sides"):
        TINY.layout((16, 16))
    with pytest.raises(UsageError, match="sides"):
        dataclasses.replace(TINY, sides=(0, 2))
