"""Every tokenizer: images to tokens on the promised layout, and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nextset.errors import UsageError
from nextset.layout import Discrete
from nextset.tokenizers.base import Tokenizer, TokenizerModule

from .parts import accepts, toys

SIZES = ((4, 4), (8, 4), (16, 16), (5, 7))
over_tokenizers = pytest.mark.parametrize("part", [part for part in toys(Tokenizer) if part.paints], ids=str)


def sizes(part: Tokenizer) -> list[tuple[int, int]]:
    """The image sizes that it takes."""
    return [size for size in SIZES if accepts(part.layout, size)]


def images(part: Tokenizer, size: tuple[int, int], batch: int = 3) -> Tensor:
    return torch.rand(batch, part.channels, *size) * 2 - 1


def built(part: Tokenizer) -> TokenizerModule:
    return part.build().eval()


@over_tokenizers
def test_tokens_lie_on_the_layout(part: Tokenizer) -> None:
    """For square and other sizes; ids below the vocabulary, or vectors of the stated width."""
    assert sizes(part)
    for size in sizes(part):
        tokens, sites = built(part).encode(images(part, size)), part.layout(size).sites
        assert tokens.layout == part.layout(size)
        if isinstance(part.unit, Discrete):
            assert tokens.data.dtype == torch.int64
            assert tokens.data.shape == ((3, sites) if part.unit.codes == 1 else (3, sites, part.unit.codes))
            assert 0 <= tokens.data.min() <= tokens.data.max() < part.unit.vocab
        else:
            assert tokens.data.is_floating_point()
            assert tokens.data.shape == (3, sites, part.unit.dim)


@over_tokenizers
def test_decoding_gives_images_back(part: Tokenizer) -> None:
    for size in sizes(part):
        module, given = built(part), images(part, size)
        with torch.no_grad():
            back = module.decode(module.encode(given))
        assert back.shape == given.shape
        assert back.isfinite().all()


@over_tokenizers
def test_samples_do_not_mix(part: Tokenizer) -> None:
    """The same picture has the same tokens every time, and alone as in a batch."""
    module, given = built(part).double(), images(part, sizes(part)[0])
    tokens = module.encode(given).data
    assert torch.equal(module.encode(given).data, tokens)
    for i in range(3):
        alone = module.encode(given[i : i + 1]).data
        assert (
            torch.equal(alone[0], tokens[i]) if isinstance(part.unit, Discrete) else torch.allclose(alone[0], tokens[i])
        )


@over_tokenizers
def test_encoding_gives_no_gradient(part: Tokenizer) -> None:
    assert not built(part).encode(images(part, sizes(part)[0]).requires_grad_()).data.requires_grad


@over_tokenizers
def test_training_moves_every_weight(part: Tokenizer) -> None:
    """A tokenizer with weights has a finite loss that reaches all of them; one without says so."""
    module = part.build().train()
    if not list(module.parameters()):
        with pytest.raises(UsageError, match=type(part).__name__):
            module.loss(images(part, sizes(part)[0]))
        return
    loss = module.loss(images(part, sizes(part)[0], batch=8))["loss"]
    assert loss.ndim == 0
    assert loss.isfinite()
    loss.backward()
    assert all(p.grad is not None for p in module.parameters())
