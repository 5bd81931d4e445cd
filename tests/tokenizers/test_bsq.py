"""Multi-scale BSQ: one sum in three ways, flips that later scales make good, patches, shapes of pictures, training, and what it refuses."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nextset.errors import UsageError
from nextset.layout import Discrete, Tokens, pyramid
from nextset.official.bsq import deeper, keys, powers
from nextset.tokenizers.bsq import MultiScaleBSQ, MultiScaleBSQModule
from nextset.tokenizers.templates import AREAS, FINEST, TEMPLATES, ending, template

SIDES = ((1, 1), (2, 2), (4, 4))
TINY = MultiScaleBSQ(6, SIDES, width=8, multipliers=(1, 2), blocks=1, groups=4, channels=1)
PATCHED = dataclasses.replace(TINY, dim=3, sides=((1, 1), (2, 1)), patch=2)


def pictures(count: int, generator: torch.Generator) -> Tensor:
    """Smooth images (count, 1, 8, 8) in [-1, 1]."""
    coarse = torch.rand(count, 1, 3, 3, generator=generator) * 2 - 1
    return F.interpolate(coarse, size=8, mode="bilinear")


def built(spec: MultiScaleBSQ) -> MultiScaleBSQModule:
    torch.manual_seed(0)
    return spec.build().eval()


@torch.no_grad()
def test_one_sum_in_three_ways(generator: torch.Generator) -> None:
    """The quantiser's loop, all scales of the bits at once, and one scale after another."""
    module = built(TINY)
    images = pictures(3, generator)
    tokens = module.encode(images)
    assert TINY.unit == Discrete(2, 6)
    found = module.quantise(module.latents(images), tokens.layout)
    assert torch.equal(module.folded(found.bits).long(), tokens.data)
    torch.testing.assert_close(module.sums(tokens)[-1], found.sums[-1], atol=1e-6, rtol=0)
    together = module.feedback(tokens, range(1, 3))
    for k, place in ((1, slice(0, 4)), (2, slice(4, 20))):
        expected = F.interpolate(found.sums[k - 1], SIDES[k], mode="bilinear").flatten(2).transpose(1, 2)
        torch.testing.assert_close(together[:, place], expected, atol=1e-5, rtol=0)
        assert torch.equal(module.feedback(tokens, range(k, k + 1)), together[:, place])
    torch.testing.assert_close(module.decode(tokens), module.paint(found.sums[-1]), atol=1e-5, rtol=0)
    assert torch.equal(module.sketch(tokens, 3), module.decode(tokens))


@torch.no_grad()
def test_bits_are_signs_on_the_sphere(generator: torch.Generator) -> None:
    """By brute force on one map: of all corners the nearest, at distance 1 from the centre; zero counts as negative."""
    module = built(TINY)
    latents = torch.randn(2, 6, 4, 4, generator=generator)
    latents[0, 2, 1, 1] = 0
    found = module.quantise(latents, pyramid(4))
    corners = module.codes(torch.tensor([[(i >> b) & 1 for b in range(6)] for i in range(64)]))
    assert torch.allclose(corners.norm(dim=1), torch.ones(64))
    nearest = corners[(latents.movedim(1, -1) @ corners.T).argmax(-1)].movedim(-1, 1)
    sure = latents != 0
    assert torch.allclose(found.sums[0][sure], nearest[sure])
    assert not found.bits[0][0, 2, 1, 1]


@torch.no_grad()
def test_later_scales_make_flips_good(generator: torch.Generator) -> None:
    """Labels are those before flipping, later ones answer flips, and the sum ends nearer than with the bits as they were."""
    module = built(TINY)
    images = pictures(64, generator)
    tokens, latents = module.encode(images), module.latents(images)
    flips = torch.rand(tokens.data.shape, generator=generator) < 0.3
    flips[:, 5:] = False
    labels = module.corrected(images, tokens.layout, flips)
    assert torch.equal(labels.data[:, :1], tokens.data[:, :1])
    assert not torch.equal(labels.data[:, 1:], tokens.data[:, 1:])
    assert torch.equal(module.corrected(images, tokens.layout, flips & False).data, tokens.data)
    flipped = Tokens(labels.data ^ flips.long(), tokens.layout)
    stale = Tokens(tokens.data ^ flips.long(), tokens.layout)
    summed = module.quantise(latents, tokens.layout, flips).sums[-1]
    torch.testing.assert_close(module.sums(flipped)[-1], summed, atol=1e-6, rtol=0)
    clean, again, left = (F.mse_loss(module.sums(t)[-1], latents) for t in (tokens, flipped, stale))
    assert again - clean < 0.6 * (left - clean)


@torch.no_grad()
def test_patches_hold_squares_of_bits(generator: torch.Generator) -> None:
    """A token of a patched tokenizer is 2 x 2 sites of a map that is twice as fine."""
    module = built(PATCHED)
    images = pictures(2, generator)[..., :4]
    tokens = module.encode(images)
    assert tokens.layout == pyramid((1, 1), (2, 1))
    assert tokens.data.shape == (2, 3, 12)
    plain = built(dataclasses.replace(PATCHED, sides=((2, 2), (4, 2)), patch=1))
    plain.load_state_dict(module.state_dict())
    sites = plain.encode(images)
    torch.testing.assert_close(module.decode(tokens), plain.decode(sites))
    first = sites.data[:, :4].unflatten(1, (2, 2))
    assert torch.equal(tokens.data[:, 0].unflatten(1, (3, 2, 2)), first.movedim(-1, 1))
    assert torch.equal(module.folded(module.unfolded(tokens)), tokens.data)
    fed = module.feedback(tokens, range(1, 2))
    finer = plain.feedback(sites, range(1, 2)).unflatten(1, (4, 2)).movedim(-1, 1)
    assert torch.equal(fed, F.pixel_unshuffle(finer, 2).flatten(2).transpose(1, 2))


def test_it_learns_every_scale(generator: torch.Generator) -> None:
    """Pictures are restored, bits stay in use, and every scale takes from what is left of the latents."""
    module = TINY.build().train()
    images = pictures(32, generator)
    optimiser = torch.optim.AdamW(module.parameters(), 5e-3)
    for _ in range(160):
        figures = module.loss(images)
        optimiser.zero_grad()
        figures["loss"].backward()
        optimiser.step()
    assert figures["pixel"] < 0.3 * images.var()
    assert 0.5 < figures["balance"] <= 1
    module.eval()
    latents = module.latents(images)
    sums = module.quantise(latents, pyramid(1, 2, 4)).sums
    shares = [F.cosine_similarity(total, latents, dim=1).mean() for total in sums]
    assert shares[0] < shares[1] < shares[2]


def test_entropy_is_that_of_all_codes(generator: torch.Generator) -> None:
    """A sum over bits in place of one over 2^d codes: the same numbers, for sites by enumeration."""
    spec = dataclasses.replace(TINY, dim=3, sharpness=1.0)
    unit = F.normalize(torch.randn(1, 3, 2, 2, generator=generator), dim=1)
    ones = (4 * 3**-0.5 * unit).sigmoid().movedim(1, -1).reshape(-1, 3)
    bits = torch.tensor([[(i >> b) & 1 for b in range(3)] for i in range(8)])
    chances = torch.where(bits.bool(), ones[:, None], 1 - ones[:, None]).prod(-1)  # (sites, 8)
    each = -(chances * chances.log()).sum(1).mean()
    mean = ones.mean(0)
    together = -(mean * mean.log() + (1 - mean) * (1 - mean).log()).sum()
    assert math.isclose(built(spec).entropy(unit).item(), (each - together).item(), abs_tol=1e-5)


def test_gradients(generator: torch.Generator) -> None:
    """The picture reaches the encoder straight through every sphere."""
    module = dataclasses.replace(TINY, beta=0.0, weight=0.0).build().train()
    module.loss(pictures(4, generator))["loss"].backward()
    for part in (module.encoder.conv_in, module.encoder.conv_out, module.decoder.conv_in):
        assert part.weight.grad is not None
        assert part.weight.grad.abs().sum() > 0


def test_it_runs_in_bfloat16(generator: torch.Generator) -> None:
    """The residual loop stays in float32: the sums do, whatever the weights."""
    images, module = pictures(2, generator), TINY.build()
    with torch.autocast("cpu", torch.bfloat16):
        figures = module.loss(images)
    assert figures["loss"].dtype == torch.float32
    figures["loss"].backward()
    cast = module.eval().to(torch.bfloat16)
    tokens = cast.encode(images.bfloat16())
    assert cast.feedback(tokens, range(1, 3)).dtype == torch.float32
    assert cast.decode(tokens).dtype == torch.bfloat16


def test_shapes_of_pictures() -> None:
    """Another size takes the sides of the template that ends there; weights stay."""
    large = MultiScaleBSQ(32)
    assert large.layout((1024, 1024)).sites == 10521
    wide = large.at((512, 768))
    assert wide.sides == template(0.666)[:11]
    assert wide.sides[-1] == (32, 48)
    assert large.at((256, 256)).sides == template(1.0, "0.06M")
    assert large.at((1024, 1024)) is large
    with pytest.raises(UsageError, match="no template"):
        large.at((1024, 16))
    with pytest.raises(UsageError, match="multiples"):
        large.at((1000, 1000))


def test_templates() -> None:
    """Fifteen shapes of about the same area, each from one site on, none falling."""
    assert len(TEMPLATES) == 15
    for shape, sides in TEMPLATES.items():
        assert len(sides) == 13
        assert sides[0] == (1, 1)
        assert all(a <= c and b <= d for (a, b), (c, d) in zip(sides, sides[1:], strict=False))
        for count in AREAS.values():
            height, width = sides[count - 1]
            assert abs(height / width - shape) < 0.01
        assert abs(math.prod(sides[-1]) / 4096 - 1) < 0.06
    assert ending(2, 2) == ((1, 1), (2, 2))
    assert (64, 64) in FINEST


def test_keys_there_and_back() -> None:
    spec = dataclasses.replace(TINY, rising=(2, 1))
    state = spec.build().state_dict()
    official = keys(spec).to_theirs(state)
    assert "decoder.up.1.upsample.conv.conv.weight" in official
    assert torch.equal(official["quantize.lfq.mask"], torch.tensor([32, 16, 8, 4, 2, 1]))
    back = keys(spec).to_ours(official)
    assert back.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(back[key], value), key


def test_names_that_are_deeper() -> None:
    assert deeper("encoder.norm_out.weight") == "encoder.norm_out.norm.weight"
    assert deeper("decoder.up.0.upsample.conv.bias") == "decoder.up.0.upsample.conv.conv.bias"
    assert powers(torch.zeros(3)).tolist() == [4, 2, 1]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dim": 0}, "at least 1"),
        ({"sides": ()}, "sides"),
        ({"sides": ((1, 1), (2, 0))}, "at least 1"),
        ({"patch": 0}, "at least 1"),
        ({"groups": 3}, "groups"),
        ({"channels": 2}, "channels"),
        ({"rising": (1,)}, "rising"),
        ({"weight": -1.0}, "weight"),
        ({"sharpness": 0.0}, "sharpness"),
    ],
)
def test_bad_specs(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        dataclasses.replace(TINY, **change)


def test_bad_images() -> None:
    module = TINY.build()
    with pytest.raises(UsageError, match="whose last map of 4x4 makes 8x8"):
        module.encode(torch.zeros(1, 1, 16, 16))
    with pytest.raises(UsageError, match=r"\(B, 1, H, W\)"):
        module.encode(torch.zeros(1, 3, 8, 8))
