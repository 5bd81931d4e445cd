"""Cross-attention: against torch's own, and that padding is not read."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nextset.errors import UsageError
from nextset.nn.norm import Layer
from nextset.nn.reading import Pool, Reader, Reading
from nextset.slots import Mask, Source


@torch.no_grad()
def test_it_is_attention_without_a_key_bias() -> None:
    """torch's module with these weights, and zeros for the bias of keys."""
    module = Reader(2, Layer(affine=False), 0.5).build(8, 0.0)
    x, source = torch.randn(3, 5, 8), torch.randn(3, 4, 8)
    torch.nn.init.normal_(module.reading.v_bias)
    keys, values = module.reading.keys_values.weight.chunk(2)
    bias = torch.cat([module.query.bias, torch.zeros(8), module.reading.v_bias])
    normed = F.layer_norm(x, (8,), eps=1e-6)
    expected, _ = F.multi_head_attention_forward(
        normed.transpose(0, 1),
        source.transpose(0, 1),
        source.transpose(0, 1),
        8,
        2,
        torch.cat([module.query.weight, keys, values]),
        bias,
        None,
        None,
        False,
        0.0,
        module.reading.out.weight,
        module.reading.out.bias,
        need_weights=False,
    )
    torch.testing.assert_close(module(x, Source(source)), 0.5 * expected.transpose(0, 1), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_padding_is_not_read() -> None:
    pool, source = Pool(8, 2, 6, 1.0), torch.randn(2, 4, 6)
    valid = torch.tensor([[True, True, False, False], [True, True, True, True]])
    found = pool(Source(source, Mask(dense=valid[:, None, None])))
    assert found.shape == (2, 8)
    torch.testing.assert_close(found[:1], pool(Source(source[:1, :2])))
    assert not torch.allclose(found[:1], pool(Source(source[:1])))


def test_heads_must_share_the_width() -> None:
    with pytest.raises(UsageError, match="3 divides"):
        Reading(8, 3, 8)
