"""The scan of Mamba-2: chunks, one chunk, and the recurrence are one function, with gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nextset.nn.ssd import scan, segment_sums, step

BATCH, HEADS, CHANNELS, STATE = 2, 3, 4, 5


def inputs(length: int, dtype: torch.dtype = torch.float64, fast: float = 1.0) -> list[Tensor]:
    """x, dt, A, B, C and a state before the first slot; `fast` multiplies how quickly it is forgotten."""
    g = torch.Generator().manual_seed(length)
    x = torch.randn(BATCH, length, HEADS, CHANNELS, generator=g)
    dt = torch.rand(BATCH, length, HEADS, generator=g)
    decay = -torch.rand(HEADS, generator=g) * 16 * fast
    b, c = torch.randn(2, BATCH, length, STATE, generator=g)
    state = torch.randn(BATCH, HEADS, CHANNELS, STATE, generator=g)
    return [part.to(dtype).requires_grad_() for part in (x, dt, decay, b, c, state)]


def recurrent(
    x: Tensor, dt: Tensor, decay: Tensor, b: Tensor, c: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Slot by slot."""
    state = x.new_zeros(BATCH, HEADS, CHANNELS, STATE) if state is None else state
    outputs = []
    for t in range(x.shape[1]):
        y, state = step(state, x[:, t], dt[:, t], decay, b[:, t], c[:, t])
        outputs.append(y)
    return torch.stack(outputs, 1), state


@pytest.mark.parametrize("length", [1, 3, 4, 7, 12, 13])
@pytest.mark.parametrize("chunk", [1, 4, 64])
@pytest.mark.parametrize("begun", [False, True])
def test_chunks_are_the_recurrence(length: int, chunk: int, begun: bool) -> None:
    """Outputs, last state and all gradients, whether or not the chunk divides the length, with and without a state before."""
    *parts, state = inputs(length)
    before = state if begun else None
    found, expected = scan(*parts, chunk, before), recurrent(*parts, before)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
    leaves = [*parts, state] if begun else parts
    weight = torch.randn(found[0].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients = [torch.autograd.grad((y * weight).sum() + last.sin().sum(), leaves) for y, last in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def test_the_recurrence_is_its_definition() -> None:
    """y_t = sum over s <= t of (C_t . B_s) exp(A (dt_(s+1) + .. + dt_t)) dt_s x_s, written out."""
    x, dt, decay, b, c, _ = inputs(6)
    expected = torch.zeros_like(x)
    for t in range(6):
        for s in range(t + 1):
            left = (decay * dt[:, s + 1 : t + 1].sum(1)).exp()  # (B, H)
            weight = (c[:, t] * b[:, s]).sum(-1)[:, None] * left * dt[:, s]
            expected[:, t] = expected[:, t] + weight[..., None] * x[:, s]
    torch.testing.assert_close(recurrent(x, dt, decay, b, c, None)[0], expected, rtol=1e-10, atol=1e-12)


def test_it_goes_on_from_where_it_was() -> None:
    """The first slots, then the others from the state between."""
    *parts, _ = inputs(11)
    whole, last = scan(*parts, 4)
    x, dt, decay, b, c = parts
    first, between = scan(x[:, :5], dt[:, :5], decay, b[:, :5], c[:, :5], 4)
    second, end = scan(x[:, 5:], dt[:, 5:], decay, b[:, 5:], c[:, 5:], 4, between)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(end, last, rtol=1e-10, atol=1e-11)


def test_sums_of_segments_do_not_cancel() -> None:
    """After a very quick forgetting a small sum is still exact in float32; differences of running sums lose it."""
    a = torch.tensor([-1e6, -1e-3, -2e-3, -4e-3])
    sums = segment_sums(a)
    torch.testing.assert_close(sums[3], torch.tensor([-7e-3, -6e-3, -4e-3, 0.0]), rtol=1e-6, atol=0)
    assert (sums.triu(1) == torch.full((4, 4), -torch.inf).triu(1)).all()
    running = a.cumsum(0)
    assert abs((running[3] - running[1]) / -6e-3 - 1) > 0.1


def test_quick_forgetting_in_float32_and_half_inputs() -> None:
    """Finite, and near float64; half-precision inputs are computed in float32."""
    exact = inputs(13, fast=100.0)
    y, _ = scan(*exact[:5], 4)
    single, _ = scan(*(part.float() for part in exact[:5]), 4)
    torch.testing.assert_close(single.double(), y, rtol=1e-4, atol=1e-5)
    half = [part.to(torch.bfloat16) for part in exact[:5]]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, last = scan(*half, 4)
    assert rough.dtype == last.dtype == torch.float32
    torch.testing.assert_close(rough, scan(*(part.float() for part in half), 4)[0], rtol=1e-6, atol=1e-6)


def test_gradients_stay_finite_where_everything_is_forgotten() -> None:
    """exp(-inf) above the diagonal has no gradient, rather than NaN."""
    *parts, _ = inputs(9, torch.float32, fast=1e4)
    scan(*parts, 4)[0].sum().backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in parts)
