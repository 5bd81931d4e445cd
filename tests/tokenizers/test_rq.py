"""The RQ tokenizer: residuals by hand, codebooks that follow, prefixes, training, names, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import Tensor

from nextset.errors import UsageError
from nextset.layout import Tokens, grid
from nextset.official.rqvae import tokenizer_keys
from nextset.spec import Spec
from nextset.tokenizers.rq import RQ

TINY = RQ(vocab=16, dim=4, codes=3, width=8, multipliers=(1, 2), blocks=1, latent=8, groups=4)


def pictures(count: int, generator: torch.Generator) -> Tensor:
    """Smooth images (count, 3, 8, 8) in [-1, 1]."""
    coarse = torch.rand(count, 3, 2, 2, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=8, mode="bilinear")


@pytest.mark.parametrize("shared", [True, False])
def test_each_code_is_the_nearest_to_what_is_left(shared: bool, generator: torch.Generator) -> None:
    module = dataclasses.replace(TINY, shared=shared).build().eval()
    z = torch.randn(2, 3, 3, 4, generator=generator)
    found, left = module.quantise(z), z
    for code in range(TINY.codes):
        table = module.book(code).weight
        ids = torch.cdist(left, table).argmin(-1)
        assert torch.equal(found.ids[..., code], ids)
        left = left - table[ids]
        torch.testing.assert_close(found.sums[code], z - left)
    torch.testing.assert_close(found.commitment, torch.stack([(z - s).square().mean() for s in found.sums]).mean())
    torch.testing.assert_close(module.embed(found.ids).sum(-2), found.sums[-1])


@pytest.mark.parametrize("shared", [True, False])
def test_codebooks_follow_every_code(shared: bool, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared one once for every code of a batch, separate ones once each; not in evaluation, and not by encoding."""
    module = dataclasses.replace(TINY, shared=shared).build().train()
    followed: list[int] = []
    for index, book in enumerate(module.codebooks):
        monkeypatch.setattr(book, "follow", lambda vectors, ids, index=index: followed.append(index))
    module.encode(pictures(2, generator))
    module.eval().loss(pictures(2, generator))
    assert followed == []
    module.train().loss(pictures(2, generator))
    assert followed == ([0, 0, 0] if shared else [0, 1, 2])


def test_prefixes_are_pictures(generator: torch.Generator) -> None:
    """Of the first codes, and of all what the loss reconstructs; one picture alone as in a batch."""
    module, images = TINY.build().eval(), pictures(3, generator)
    tokens = module.encode(images)
    assert tokens.data.shape == (3, 16, 3)
    assert tokens.layout == TINY.layout((8, 8)) == grid(4, 4)
    whole = module.decode(tokens)
    torch.testing.assert_close(whole, module.loss(images)["reconstruction"], atol=1e-5, rtol=1e-5)
    for codes in (1, 2):
        part = module.decode(Tokens(tokens.data[..., :codes], tokens.layout))
        assert part.shape == whole.shape
        assert not torch.allclose(part, whole)


def test_it_learns_in_every_depth(generator: torch.Generator) -> None:
    module, images = TINY.build().train(), pictures(32, generator)
    torch.manual_seed(0)  # of restarts
    optimiser = torch.optim.AdamW(module.parameters(), 3e-3)
    for _ in range(120):
        figures = module.loss(images)
        optimiser.zero_grad()
        figures["loss"].backward()
        optimiser.step()
    # images of two colours and grey levels between: a mean picture leaves `images.var()`
    assert figures["pixel"] < 0.25 * images.var()
    tokens = module.eval().encode(images)
    with torch.no_grad():
        errors = [
            (module.decode(Tokens(tokens.data[..., : d + 1], tokens.layout)) - images).square().mean() for d in range(3)
        ]
    assert errors[0] > errors[1] > errors[2]
    assert len(tokens.data.unique()) > 0.8 * TINY.vocab


def test_gradients_reach_all_but_the_codes(generator: torch.Generator) -> None:
    module = TINY.build().train()
    figures = module.loss(pictures(4, generator))
    torch.testing.assert_close(figures["loss"], figures["pixel"] + figures["codebook"])
    figures["loss"].backward()
    assert not any("codebooks" in name for name, _ in module.named_parameters())
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name


def test_it_runs_in_bfloat16(generator: torch.Generator) -> None:
    images, module = pictures(2, generator), TINY.build()
    with torch.autocast("cpu", torch.bfloat16):
        figures = module.loss(images)
    assert figures["loss"].dtype == torch.float32
    figures["loss"].backward()
    cast = module.eval().to(torch.bfloat16)
    assert cast.decode(cast.encode(images.bfloat16())).dtype == torch.bfloat16


@pytest.mark.parametrize("shared", [True, False])
def test_keys_there_and_back(shared: bool) -> None:
    spec = dataclasses.replace(TINY, shared=shared, attention=(0,))
    state, keys = spec.build().state_dict(), tokenizer_keys(spec)
    official = keys.to_theirs(state)
    assert official["quantizer.codebooks.2.weight"].shape == (17, 4)
    assert {"encoder.down.0.attn.0.q.weight", "decoder.up.0.attn.1.proj_out.bias"} <= official.keys()
    back = keys.to_ours(official)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], value) for key, value in state.items())


def test_spec_travels_as_json() -> None:
    assert Spec.from_dict(json.loads(json.dumps(TINY.to_dict()))) == TINY
    assert RQ(16384).stride == 32


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"vocab": 1}, "vocab"),
        ({"codes": 0}, "at least 1"),
        ({"multipliers": ()}, "multipliers"),
        ({"groups": 3}, "groups"),
        ({"channels": 4}, "channels"),
        ({"attention": (2,)}, "attention"),
    ],
)
def test_bad_specs(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        dataclasses.replace(TINY, **change)


def test_bad_images() -> None:
    with pytest.raises(UsageError, match="multiples of 2"):
        TINY.build().encode(torch.zeros(1, 3, 8, 9))
    with pytest.raises(UsageError, match=r"\(B, 3, H, W\)"):
        TINY.build().encode(torch.zeros(1, 1, 8, 8))
