"""Packed linear layers: the product that they stand for, how near they come, and that rows know nothing of each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nextset.errors import UsageError
from nextset.nn.borrowed import Borrowed
from nextset.nn.packed import (
    BFloat16Linear,
    Float16Linear,
    Float32Linear,
    Int8Linear,
    Int8Weights,
    Packing,
    has_fbgemm,
    pack,
)

INPUTS, OUTPUTS = 96, 160

needs_fbgemm = pytest.mark.skipif(not has_fbgemm(), reason="this build of torch has no FBGEMM")
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")
# Relative errors of a product of 96 terms: rounding; 8 bits of weight, activation and result; 11 bits of weight; 8 bits of both
# with 7 of activations; 8 bits of weight.
KINDS = [
    pytest.param(Float32Linear, 1e-6, marks=needs_onednn),
    pytest.param(BFloat16Linear, 5e-3, marks=needs_onednn),
    pytest.param(Float16Linear, 5e-4, marks=needs_fbgemm),
    pytest.param(Int8Linear, 2.5e-2, marks=needs_fbgemm),
    pytest.param(Int8Weights, 1.2e-2),
]


def layer(bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(INPUTS, OUTPUTS, bias=bias).requires_grad_(False)


def inputs(rows: int) -> Tensor:
    """Rows of very different sizes."""
    torch.manual_seed(1)
    return torch.randn(rows, 3, INPUTS) * torch.logspace(-3, 3, rows)[:, None, None]


@pytest.mark.parametrize(("kind", "error"), KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 17])
@torch.inference_mode()
def test_is_near_the_product(kind: Packing, error: float, bias: bool, rows: int) -> None:
    """Row by row, so that a small row is not lost beside a large one."""
    plain, x = layer(bias), inputs(rows)
    expected = plain(x)
    found = kind(plain.weight, plain.bias)(x)
    assert found.shape == expected.shape
    distance = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert distance.max() < error


@pytest.mark.parametrize(("kind", "error"), [*KINDS[2:]])
@torch.inference_mode()
def test_is_narrower_indeed(kind: Packing, error: float) -> None:
    """The error that comes with fewer bits is there: the layer does not hold the weights as they were."""
    plain, x = layer(), inputs(2)
    assert (kind(plain.weight, plain.bias)(x) - plain(x)).norm() > 1e-4 * plain(x).norm()


@pytest.mark.parametrize(("kind", "error"), KINDS[1:])
@torch.inference_mode()
def test_no_row_depends_on_the_others(kind: Packing, error: float) -> None:
    """To the rounding of float32: kernels sum in another order for other numbers of rows."""
    packed, x = kind(layer().weight, layer().bias), inputs(17)
    together = packed(x)
    for row in range(len(x)):
        assert (packed(x[row : row + 1]) - together[row]).norm() <= 1e-6 * together[row].norm()


@pytest.mark.parametrize(("kind", "error"), KINDS)
@torch.inference_mode()
def test_zeros_give_the_bias(kind: Packing, error: float) -> None:
    plain = layer()
    assert torch.equal(kind(plain.weight, plain.bias)(torch.zeros(2, INPUTS)), plain.bias.expand(2, -1))


@needs_fbgemm
def test_weights_beyond_float16_are_refused() -> None:
    for value in (1e6, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="use dtype=float32"):
            Float16Linear(torch.full((4, 4), value), None)


@needs_fbgemm
def test_packed_weights_stay() -> None:
    """They cannot follow the rest of a model to another device or dtype."""
    packed = Float16Linear(layer().weight, None)
    with pytest.raises(UsageError, match="for_inference"):
        nn.Sequential(packed).to(torch.bfloat16)
    with pytest.raises(UsageError, match="for_inference"):
        packed.to("meta")


def test_pack_finds_every_linear_layer() -> None:
    """Also inside others, and what borrows a matrix; layers that are too small stay."""
    borrowed, table = Borrowed(8, 8), torch.randn(8, 8)
    borrowed.borrow(lambda: table)
    inner = nn.ModuleList([nn.Linear(8, 8), nn.Linear(2, 8), nn.LayerNorm(8)])
    module = nn.ModuleDict({"inner": inner, "borrowed": borrowed})
    pack(module, Int8Weights, least=64)
    assert isinstance(module["borrowed"], Int8Weights)
    assert [type(part) for part in inner] == [Int8Weights, nn.Linear, nn.LayerNorm]
    assert inner[0].weight.shape == (8, 8)


def test_int8_weights_follow_a_cast() -> None:
    """Callers ask a layer's weight for the dtype that it takes."""
    packed = Int8Weights(layer().weight, layer().bias).to(torch.bfloat16)
    assert packed.weight.dtype == torch.bfloat16
    assert packed(inputs(2).to(packed.weight.dtype)).dtype == torch.bfloat16
