"""Multi-scale residual VQ: one sum in three ways, which phi a scale takes, training, names, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nextset.errors import UsageError
from nextset.layout import Tokens, pyramid
from nextset.official.multiscale import OfficialKeys
from nextset.tokenizers.multiscale import MultiScaleVQ, MultiScaleVQModule, phi_of

TINY = MultiScaleVQ(32, 4, (1, 2, 4), width=8, multipliers=(1, 2), blocks=1, groups=4, channels=1)


def pictures(count: int, generator: torch.Generator) -> Tensor:
    """Smooth images (count, 1, 8, 8) in [-1, 1]."""
    coarse = torch.rand(count, 1, 3, 3, generator=generator) * 2 - 1
    return F.interpolate(coarse, size=8, mode="bilinear")


def lively(generator: torch.Generator) -> MultiScaleVQModule:
    """A module whose codes are no smaller than its latents."""
    module = TINY.build().eval()
    with torch.no_grad():
        module.codebook.weight.copy_(torch.randn(module.codebook.weight.shape, generator=generator))
    return module


def test_published_phis() -> None:
    """Ten scales share four convolutions in this way; two of them lie halfway, as float64 rounds it."""
    assert [phi_of(k, 10, 4) for k in range(10)] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    assert [phi_of(k, 5, 1) for k in range(5)] == [0] * 5
    assert [phi_of(k, 5, 5) for k in range(5)] == list(range(5))


@torch.no_grad()
def test_one_sum_in_three_ways(generator: torch.Generator) -> None:
    """The quantiser's loop, all scales of the ids at once, and one scale after another."""
    module = lively(generator)
    images = pictures(3, generator)
    tokens = module.encode(images)
    found = module.quantise(module.latents(images), tokens.layout.blocks)
    assert torch.equal(torch.cat(found.ids, 1), tokens.data)
    together = module.feedback(tokens, range(1, 3))
    for k, place in ((1, slice(0, 4)), (2, slice(4, 20))):
        expected = F.interpolate(found.sums[k - 1], tokens.layout.blocks[k], mode="area").flatten(2).transpose(1, 2)
        torch.testing.assert_close(together[:, place], expected, atol=1e-5, rtol=0)
        assert torch.equal(module.feedback(tokens, range(k, k + 1)), together[:, place])
    torch.testing.assert_close(module.decode(tokens), module.paint(found.sums[-1]), atol=1e-5, rtol=0)
    assert torch.equal(module.sketch(tokens, 3), module.decode(tokens))


@torch.no_grad()
def test_feedback_reads_earlier_scales_only(generator: torch.Generator) -> None:
    module = lively(generator)
    tokens = torch.randint(32, (2, 21), generator=generator)
    other = tokens.clone()
    other[:, 5:] = 0
    layout = pyramid(1, 2, 4)
    assert torch.equal(
        module.feedback(Tokens(tokens, layout), range(1, 3)), module.feedback(Tokens(other, layout), range(1, 3))
    )
    other[:, 4] += 1
    other %= 32
    assert not torch.equal(
        module.feedback(Tokens(tokens, layout), range(2, 3)), module.feedback(Tokens(other, layout), range(2, 3))
    )


def test_it_learns_every_scale(generator: torch.Generator) -> None:
    """Pictures are restored, codes stay in use, and every scale takes from what is left of the latents."""
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
    assert figures["pixel"] < 0.3 * images.var()
    assert figures["usage"] > 0.5
    assert 0 < figures["usage_1"] <= figures["usage_3"] <= 1
    module.eval()
    latents = module.latents(images)
    errors = [F.mse_loss(total, latents) for total in module.quantise(latents, pyramid(1, 2, 4).blocks).sums]
    assert errors[0] > errors[1] > errors[2]


def test_gradients(generator: torch.Generator) -> None:
    """The picture reaches the encoder straight through; the sums reach codes and phis; encoding and judging count nothing."""
    module = TINY.build().train()
    figures = module.loss(pictures(4, generator))
    torch.testing.assert_close(figures["loss"], figures["pixel"] + figures["codebook"])
    figures["loss"].backward()
    used = [module.phis[phi_of(k, 3, 4)] for k in range(3)]
    for part in (module.encoder.conv_in, module.narrow, module.widen, *used):
        assert part.weight.grad is not None
        assert part.weight.grad.abs().sum() > 0
    assert module.codebook.weight.grad is not None
    assert module.codebook.batches == 1
    module.eval().loss(pictures(4, generator))
    module.train().encode(pictures(4, generator))
    assert module.codebook.batches == 1


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


def test_keys_there_and_back() -> None:
    state = TINY.build().state_dict()
    official = OfficialKeys(4).to_theirs(state)
    assert "decoder.up.1.upsample.conv.weight" in official  # the lower of two levels, as they count
    assert "decoder.mid.attn_1.proj_out.bias" in official
    assert official["quantize.ema_vocab_hit_SV"].shape == (3, 32)
    back = OfficialKeys(4).to_ours(official)
    assert back.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(back[key], value), key


@pytest.mark.parametrize(
    ("shared", "phis", "name"),
    [(1, 1, "qresi.weight"), (0, 3, "2.weight"), (3, 3, "qresi_ls.2.weight")],
)
def test_names_of_phis(shared: int, phis: int, name: str) -> None:
    """One for all scales, one a scale, and some that scales share are called differently."""
    state, keys = dataclasses.replace(TINY, phis=phis).build().state_dict(), OfficialKeys(shared)
    official = keys.to_theirs(state)
    assert f"quantize.quant_resi.{name}" in official
    assert keys.to_ours(official).keys() == state.keys()


@torch.no_grad()
def test_without_phi_codes_are_added_as_they_are(generator: torch.Generator) -> None:
    module = dataclasses.replace(TINY, sides=(4,), blend=0.0).build().eval()
    assert not module.phis
    tokens = module.encode(pictures(2, generator))
    codes = module.embed(tokens.data).transpose(1, 2).unflatten(2, (4, 4))
    assert torch.equal(module.decode(tokens), module.paint(codes))


@torch.no_grad()
def test_nearest_by_angle(generator: torch.Generator) -> None:
    """Lengths of codes do not matter to which is chosen, but to what is added."""
    module = dataclasses.replace(TINY, angle=True).build().eval()
    asked = torch.randn(2, 5, 4, generator=generator)
    similar = F.cosine_similarity(asked[:, :, None], module.codebook.weight, dim=-1)
    assert torch.equal(module.nearest(asked), similar.argmax(-1))
    module.codebook.weight *= torch.rand(32, 1, generator=generator) + 0.5
    assert torch.equal(module.nearest(asked), similar.argmax(-1))
    assert torch.equal(module.embed(torch.arange(32)), module.codebook.weight)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"vocab": 1}, "vocab"),
        ({"sides": ()}, "sides"),
        ({"groups": 3}, "groups"),
        ({"channels": 2}, "channels"),
        ({"phis": 0}, "at least 1"),
        ({"kernel": 2}, "kernel must be odd"),
    ],
)
def test_bad_specs(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        dataclasses.replace(TINY, **change)


def test_bad_images() -> None:
    module = TINY.build()
    with pytest.raises(UsageError, match="whose last side of 4 makes 8x8"):
        module.encode(torch.zeros(1, 1, 16, 16))
    with pytest.raises(UsageError, match=r"\(B, 1, H, W\)"):
        module.encode(torch.zeros(1, 3, 8, 8))
    with pytest.raises(UsageError, match="on .* only"):
        module.encode_on(torch.zeros(1, 1, 8, 8), pyramid(1, 4))
