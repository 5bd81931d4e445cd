"""MaskGIT's VQGAN: shapes, the short way that forgets, and what it refuses."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from nextset import UsageError
from nextset.layout import grid
from nextset.nn.plain_conv import Residual
from nextset.tokenizers.maskgit_vq import MaskGITVQ

TINY = MaskGITVQ(32, 4, 8, (1, 2, 2), blocks=1, groups=4)


@pytest.mark.parametrize("channels", [1, 3])
def test_there_and_back(channels: int, generator: torch.Generator) -> None:
    module = dataclasses.replace(TINY, channels=channels).build().eval()
    images = torch.rand(2, channels, 8, 12, generator=generator) * 2 - 1
    tokens = module.encode(images)
    assert tokens.layout == grid(2, 3)
    assert module.decode(tokens).shape == images.shape
    torch.testing.assert_close(module.decode(tokens), module.loss(images)["reconstruction"], atol=1e-5, rtol=1e-5)


def test_where_the_width_changes_the_input_itself_is_not_added(generator: torch.Generator) -> None:
    """A shift of all channels, which the first norm takes out, goes through only where the width stays."""
    x = torch.randn(1, 8, 4, 4, generator=generator)
    for outputs, gone in ((8, False), (16, True)):
        block = Residual(8, outputs, groups=4)
        with torch.no_grad():
            assert torch.allclose(block(x + 3), block(x), atol=1e-4) == gone


def test_revival_moves_dead_codes(generator: torch.Generator) -> None:
    module, images = TINY.build().train(), torch.rand(2, 3, 8, 8, generator=generator) * 2 - 1
    module.loss(images)
    before = module.codebook.weight.clone()
    assert module.revive(images) > 0
    assert not torch.equal(module.codebook.weight, before)


def test_what_it_refuses() -> None:
    with pytest.raises(UsageError, match="multiples of 4"):
        TINY.layout((6, 8))
    with pytest.raises(UsageError, match="images must be"):
        TINY.build().latents(torch.zeros(1, 1, 8, 8))
    with pytest.raises(UsageError, match="vocab"):
        MaskGITVQ(1)
    with pytest.raises(UsageError, match="channels"):
        MaskGITVQ(channels=2)
    with pytest.raises(UsageError, match="groups"):
        MaskGITVQ(width=100)
