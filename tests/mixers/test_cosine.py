"""Cosine attention against its definition, site by site."""

from __future__ import annotations

import math

import torch

from nextset.mixers import Context, CosineAttention
from nextset.slots import Mask


def test_definition(generator: torch.Generator) -> None:
    module = CosineAttention(2).build(6, 0.0).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        module.scale.copy_(torch.tensor([0.3, 9.0]))  # the second is above the largest
        x = torch.randn(1, 4, 6, generator=generator, dtype=torch.float64)
        found = module(x, Context(None, Mask(causal=True)))[0]
        q, k, v = module.qkv(x[0]).split(6, dim=-1)
        q, v = q + module.q_bias, v + module.v_bias  # none for keys
        heads = []
        for head, sharp in ((0, math.exp(0.3)), (1, 100.0)):
            part = slice(3 * head, 3 * head + 3)
            rows = []
            for row in range(4):
                cosines = torch.nn.functional.cosine_similarity(q[row, part], k[: row + 1, part], dim=-1)
                rows.append((sharp * cosines).softmax(0) @ v[: row + 1, part])
            heads.append(torch.stack(rows))
        assert torch.allclose(found, module.out(torch.cat(heads, dim=-1)), atol=1e-12)


def test_it_starts_at_four() -> None:
    assert torch.allclose(CosineAttention(3).build(6, 0.0).scale.exp(), torch.full((3,), 4.0))
