"""The VQ tokenizer: shapes, gradients, training, key map, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset.errors import UsageError
from nextset.layout import Tokens, grid
from nextset.official.vq import KEYS
from nextset.spec import Spec
from nextset.tokenizers.vq import VQ

TINY = VQ(vocab=32, dim=4, width=8, multipliers=(1, 2), blocks=1, latent=8, groups=4)


def pictures(count: int, generator: torch.Generator, channels: int = 3) -> Tensor:
    """Smooth images (count, channels, 8, 8) in [-1, 1]."""
    coarse = torch.rand(count, channels, 2, 2, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=8, mode="bilinear")


@pytest.mark.parametrize("channels", [1, 3])
def test_there_and_back(channels: int, generator: torch.Generator) -> None:
    spec = dataclasses.replace(TINY, channels=channels, multipliers=(1, 1, 2))
    module = spec.build().eval()
    images = torch.rand(2, channels, 8, 12, generator=generator)
    tokens = module.encode(images)
    assert tokens.layout == spec.layout((8, 12)) == grid(2, 3)
    assert tokens.data.shape == (2, 6)
    assert not tokens.data.is_floating_point()
    decoded = module.decode(tokens)
    assert decoded.shape == images.shape
    # 1e-5: another batch size takes other convolution kernels
    torch.testing.assert_close(decoded[1:], module.decode(Tokens(tokens.data[1:], tokens.layout)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        decoded, module.loss(images)["reconstruction"], atol=1e-5, rtol=1e-5
    )  # straight-through sum


def test_encoding_counts_nothing_and_has_no_gradient(generator: torch.Generator) -> None:
    module = TINY.build().train()
    module.encode(pictures(2, generator))
    assert module.codebook.batches == 0
    module.loss(pictures(2, generator))
    assert module.codebook.batches == 1


def test_every_weight_gets_a_gradient(generator: torch.Generator) -> None:
    module = TINY.build().train()
    figures = module.loss(pictures(4, generator))
    torch.testing.assert_close(figures["loss"], figures["pixel"] + figures["codebook"])
    figures["loss"].backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        # a shift of all keys does not change attention: its gradient is rounding, so it is not looked at
        seen = parameter.grad if "qkv.bias" not in name else parameter.grad.chunk(3)[2]
        assert seen.abs().sum() > 0, name


def test_it_learns_and_keeps_its_codes(generator: torch.Generator) -> None:
    module = TINY.build().train()
    images = pictures(32, generator)
    optimiser = torch.optim.AdamW(module.parameters(), 3e-3)
    pixel = []
    for step in range(1, 121):
        figures = module.loss(images)
        optimiser.zero_grad()
        figures["loss"].backward()
        optimiser.step()
        pixel.append(figures["pixel"].item())
        if step % 30 == 0:
            module.revive(images)
    # images of two colours and grey levels between: a mean picture leaves `images.var()`
    assert pixel[-1] < 0.25 * images.var().item()
    used = module.encode(images).data.unique()
    assert len(used) > 0.8 * TINY.vocab


def test_it_runs_in_bfloat16(generator: torch.Generator) -> None:
    images = pictures(2, generator)
    module = TINY.build()
    with torch.autocast("cpu", torch.bfloat16):
        figures = module.loss(images)
    assert figures["loss"].dtype == torch.float32
    figures["loss"].backward()
    cast = module.eval().to(torch.bfloat16)
    assert cast.decode(cast.encode(images.bfloat16())).dtype == torch.bfloat16


def test_state_round_trip(generator: torch.Generator) -> None:
    module = TINY.build().train()
    images = pictures(3, generator)
    module.loss(images)
    other = TINY.build()
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.eval().encode(images).data, module.eval().encode(images).data)
    assert other.codebook.usage() == module.codebook.usage() > 0


def test_keys_there_and_back(generator: torch.Generator) -> None:
    state = TINY.build().state_dict()
    official = KEYS.to_theirs(state)
    assert not {"codebook.weight", "codebook.hits"} & official.keys()
    back = KEYS.to_ours(official)
    assert back.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(back[key], value), key
    # what is not understood is kept to be reported
    odd = dict(official) | {"surprise": torch.zeros(1)}
    del odd["encoder.mid.1.k.weight"]
    assert {"surprise", "encoder.middle.1.q.weight"} <= KEYS.to_ours(odd).keys()


def test_spec_travels_as_json() -> None:
    assert Spec.from_dict(json.loads(json.dumps(TINY.to_dict()))) == TINY
    assert VQ(16384, 8).stride == 16
    assert TINY.unit.vocab == 32


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"vocab": 1}, "vocab"),
        ({"multipliers": ()}, "multipliers"),
        ({"groups": 3}, "groups"),
        ({"channels": 4}, "channels"),
        ({"latent": 0}, "at least 1"),
    ],
)
def test_bad_specs(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        dataclasses.replace(TINY, **change)


def test_bad_images() -> None:
    module = TINY.build()
    with pytest.raises(UsageError, match="multiples of 2"):
        module.encode(torch.zeros(1, 3, 8, 9))
    with pytest.raises(UsageError, match=r"\(B, 3, H, W\)"):
        module.encode(torch.zeros(1, 1, 8, 8))
    with pytest.raises(UsageError, match="0x8"):
        TINY.layout((0, 8))
