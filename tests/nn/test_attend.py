"""In which precision attention is computed where a gradient is asked for in bfloat16 on a CPU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nextset.nn.attend import LONG, attend
from nextset.slots import Mask


@pytest.mark.parametrize(("length", "exact"), [(8, True), (LONG, False)])
def test_short_attention_is_exact_under_autocast(length: int, exact: bool) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, length, 16, requires_grad=True) for _ in range(3))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attend(q, k, v, Mask(causal=True))
        with torch.no_grad():
            drawn = attend(q, k, v, Mask(causal=True))
    assert torch.equal(found, expected) == exact
    assert drawn.dtype == torch.bfloat16, "where no gradient is asked for nothing changes"
    own, plain = (torch.autograd.grad(out.float().square().sum(), q)[0] for out in (found, expected))
    assert torch.equal(own, plain) == exact


def test_weights_in_bfloat16_stay_so() -> None:
    q, k, v = (torch.randn(1, 2, 8, 16, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    assert attend(q, k, v, Mask()).dtype == torch.bfloat16
