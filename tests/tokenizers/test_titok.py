"""The 1-D tokenizers: lines, what reaches what, both stages of training, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nextset.errors import UsageError
from nextset.layout import Tokens, line
from nextset.tokenizers.maskgit_vq import MaskGITVQ
from nextset.tokenizers.one_codebook import OneCodebook
from nextset.tokenizers.proxy_titok import ProxyTiTok
from nextset.tokenizers.slotted import PatchPainter, Slotted, ViT
from nextset.tokenizers.titok import TiTok
from nextset.tokenizers.titok_vae import TiTokVAE

NET = ViT(32, 1, 2, patch=4, std=0.2)
BASE = MaskGITVQ(16, 4, 8, (1, 2, 2), blocks=1, groups=4)
IDS = TiTok(32, 4, 6, 8, NET, NET, normalise=True)
PROXIES = ProxyTiTok(32, 4, 6, 8, NET, NET, BASE)
VECTORS = TiTokVAE(6, 4, 8, NET, NET)
over_forms = pytest.mark.parametrize("spec", [IDS, PROXIES, VECTORS], ids=lambda spec: type(spec).__name__)


def pictures(count: int, generator: torch.Generator, channels: int = 3) -> Tensor:
    """Smooth images (count, channels, 8, 8) in [-1, 1]."""
    coarse = torch.rand(count, channels, 2, 2, generator=generator) * 2 - 1
    return F.interpolate(coarse, size=8, mode="bilinear")


@over_forms
def test_there_and_back(spec: Slotted, generator: torch.Generator) -> None:
    module, images = spec.build().eval(), pictures(2, generator)
    tokens = module.encode(images)
    assert tokens.layout == spec.layout((8, 8)) == line(6)
    with torch.no_grad():
        painted = module.decode(tokens)
        alone = module.decode(Tokens(tokens.data[1:], tokens.layout))
    assert painted.shape == images.shape
    torch.testing.assert_close(painted[1:], alone, atol=1e-5, rtol=1e-5)


@over_forms
def test_every_token_belongs_to_the_whole_picture(spec: Slotted, generator: torch.Generator) -> None:
    """Every patch reaches every site, and every site every pixel."""
    module, images = spec.build().eval(), pictures(1, generator).requires_grad_()
    latents = module.posterior(images).mean if spec is VECTORS else module.latents(images).transpose(1, 2)
    for site in range(6):
        (grad,) = torch.autograd.grad(latents[0, :, site].sum(), images, retain_graph=True)
        assert (F.avg_pool2d(grad.abs().sum(1), 4) > 0).all()
    codes = torch.randn(1, 6, 4, generator=generator)
    told = lambda codes: module.paint(codes.transpose(1, 2) if spec is VECTORS else codes)
    with torch.no_grad():
        before = told(codes)
        for site in range(6):
            changed = codes.clone()
            changed[:, site] += 1
            assert ((told(changed) - before).abs().sum(1) > 0).all()


def test_patches_are_painted_where_they_are(generator: torch.Generator) -> None:
    """Rows of the linear map are rows, columns and channels of a patch."""
    painter = PatchPainter(ViT(12, 1, 1, patch=2), channels=3)
    with torch.no_grad():
        painter.rise.weight.copy_(torch.eye(12))
        painter.rise.bias.zero_()
        torch.nn.init.dirac_(painter.smooth.weight)
        painter.smooth.bias.zero_()  # type: ignore[union-attr]
    hidden = torch.randn(1, 2, 3, 12, generator=generator)
    painted = painter(hidden)
    assert painted.shape == (1, 3, 4, 6)
    for y, x, channel in ((0, 0, 0), (3, 4, 2), (2, 5, 1)):
        expected = hidden[0, y // 2, x // 2, (y % 2) * 6 + (x % 2) * 3 + channel]
        torch.testing.assert_close(painted[0, channel, y, x], expected)


@pytest.mark.parametrize("spec", [IDS, replace(VECTORS, beta=0.01)], ids=lambda spec: type(spec).__name__)
def test_it_learns(spec: Slotted, generator: torch.Generator) -> None:
    """More than the mean of all pictures; the divergence's weight is that of large pictures otherwise."""
    module, images = spec.build().train(), pictures(8, generator)
    optimiser = torch.optim.AdamW(module.parameters(), 3e-3)
    for step in range(1, 151):
        figures = module.loss(images)
        optimiser.zero_grad()
        figures["loss"].backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        if step % 30 == 0 and isinstance(module, OneCodebook):
            module.revive(images)
    assert figures["pixel"] < 0.7 * (images - images.mean(0)).square().mean()


def test_first_stage(generator: torch.Generator) -> None:
    """The proxies' cross entropy by hand; it learns them, and leaves the painter's codes and decoder alone."""
    teacher, images = BASE.build().eval(), pictures(16, generator)
    module, proxies = PROXIES.build().train(), teacher.encode(images).data
    figures = module.proxy_loss(images, proxies)
    logits = module.painter.logits(module.hidden(module.quantise(module.latents(images)).vectors)).flatten(1, 2)
    by_hand = -logits.log_softmax(-1).gather(2, proxies[..., None]).mean()
    torch.testing.assert_close(figures["proxy"], by_hand.detach())
    torch.testing.assert_close(figures["loss"].detach(), figures["proxy"] + figures["codebook"])
    optimiser = torch.optim.AdamW(module.parameters(), 5e-3)
    for _ in range(60):
        figures = module.proxy_loss(images, proxies)
        optimiser.zero_grad()
        figures["loss"].backward()
        optimiser.step()
    assert figures["proxy"] < 0.7 * by_hand
    assert all(p.grad is None for p in (module.painter.codes, *module.painter.decoder.parameters()))


def test_second_stage_starts_from_the_base(generator: torch.Generator) -> None:
    """With its weights, logits that are sure of a code paint what the base paints."""
    teacher, module = BASE.build().eval(), PROXIES.build().eval()
    module.adopt(teacher)
    ids = torch.randint(16, (2, 4), generator=generator)
    sure = 1e4 * F.one_hot(ids, 16).float().unflatten(1, (2, 2))
    with torch.no_grad(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(module.painter, "logits", lambda hidden: sure)
        painted = module.paint(torch.zeros(2, 6, 4))
        torch.testing.assert_close(painted, teacher.decode(Tokens(ids, BASE.layout((8, 8)))))
    with pytest.raises(UsageError, match="base"):
        module.adopt(replace(BASE, vocab=8).build())


@over_forms
def test_it_runs_in_bfloat16(spec: Slotted, generator: torch.Generator) -> None:
    images, module = pictures(2, generator), spec.build()
    with torch.autocast("cpu", torch.bfloat16):
        figures = module.loss(images)
    assert figures["loss"].dtype == torch.float32
    figures["loss"].backward()
    cast = module.eval().to(torch.bfloat16)
    assert cast.decode(cast.encode(images.bfloat16())).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("spec", "change", "word"),
    [
        (IDS, {"vocab": 1}, "vocab"),
        (IDS, {"sites": 0}, "at least 1"),
        (IDS, {"side": 10}, "multiple of the patch"),
        (IDS, {"channels": 2}, "channels"),
        (VECTORS, {"scale": 0.0}, "scale"),
        (VECTORS, {"beta": -1.0}, "beta"),
        (PROXIES, {"vocab": 1}, "vocab"),
        (PROXIES, {"decoder": replace(NET, patch=2)}, "decoder.patch"),
        (NET, {"heads": 3}, "heads must divide"),
        (NET, {"std": 0.0}, "std"),
    ],
)
def test_bad_specs(spec: Any, change: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        replace(spec, **change)


@over_forms
def test_bad_images(spec: Slotted) -> None:
    with pytest.raises(UsageError, match="learns the places of 8x8"):
        spec.build().encode(torch.zeros(1, 3, 16, 16))
    with pytest.raises(UsageError, match=r"\(B, 3, H, W\)"):
        spec.build().encode(torch.zeros(1, 1, 8, 8))
