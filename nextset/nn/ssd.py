"""The scan of Mamba-2 (Dao and Gu 2024, arXiv 2405.21060), step by step and in chunks; both in at least float32.

    S_t = exp(dt_t A) S_(t-1) + dt_t x_t B_t^T        y_t = S_t C_t

for each head, with a scalar A < 0. Chunks turn it into products ("state space duality"): inside a chunk

    y_t = sum over s <= t of (C_t . B_s) exp(sum over s < r <= t of dt_r A) dt_s x_s

and only the states at the ends of chunks are handed on. Sums of dt A are summed for each pair (s, t) by themselves, never taken as
differences of running sums, which would cancel.

Legend: B batch, L slots, H heads, P channels of a head, N state size, c chunk, K chunks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32, full_precision


def step(state: Tensor, x: Tensor, dt: Tensor, decay: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One slot: y (B, H, P) and the next state (B, H, P, N), of x (B, H, P), dt (B, H), decay A (H,), b and c (B, N)."""
    with full_precision(x.device):
        x, dt, decay, b, c = (at_least_float32(part) for part in (x, dt, decay, b, c))
        kept = (dt * decay).exp()[..., None, None] * state
        state = torch.addcmul(kept, (x * dt[..., None])[..., None], b[:, None, None])
        return (state * c[:, None, None]).sum(-1), state


def scan(
    x: Tensor, dt: Tensor, decay: Tensor, b: Tensor, c: Tensor, chunk: int, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """L slots: y (B, L, H, P) and the last state (B, H, P, N), of x (B, L, H, P), dt (B, L, H), A (H,), b and c (B, L, N).

    L need not be a multiple of `chunk`; `state` is the one before the first slot, none: zeros.
    """
    with full_precision(x.device):
        x, dt, decay, b, c = (at_least_float32(part) for part in (x, dt, decay, b, c))
        length, chunk = x.shape[1], min(chunk, x.shape[1])
        xdt, a = (_chunked(part, chunk) for part in (x * dt[..., None], dt * decay))  # (B, K, c, H, P), (B, K, c, H)
        b, c = _chunked(b, chunk), _chunked(c, chunk)  # (B, K, c, N)
        a = a.movedim(-1, 1)  # (B, H, K, c)
        pairs = segment_sums(a).exp()  # (B, H, K, c, c): what is left at slot t of what came at slot s
        within = torch.einsum("bktn,bksn,bhkts,bkshp->bkthp", c, b, pairs, xdt)
        added = torch.einsum("bksn,bhks,bkshp->bkhpn", b, pairs[..., -1, :], xdt)
        since = a.cumsum(-1).exp()  # (B, H, K, c): what is left of the state before the chunk
        before, last = _hand_on(added, since[..., -1], state)
        across = torch.einsum("bktn,bkhpn,bhkt->bkthp", c, before, since)
        return (within + across).flatten(1, 2)[:, :length], last


def segment_sums(a: Tensor) -> Tensor:
    """(..., c) to (..., c, c): entry (t, s) is the sum over s < r <= t of a_r, -inf where s > t."""
    size = a.shape[-1]
    lower = torch.ones(size, size, dtype=torch.bool, device=a.device).tril()
    spread = a[..., None].expand(*a.shape, size).masked_fill(~lower.tril(-1), 0.0)
    return spread.cumsum(-2).masked_fill(~lower, -torch.inf)


def _chunked(x: Tensor, chunk: int) -> Tensor:
    """(B, L, ...) to (B, K, c, ...); slots that fill the last chunk have dt = 0, so they leave the state as it is."""
    missing = -x.shape[1] % chunk
    if missing:
        x = F.pad(x, (0, 0) * (x.ndim - 2) + (0, missing))
    return x.unflatten(1, (-1, chunk))


def _hand_on(added: Tensor, left: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """States before each chunk (B, K, H, P, N) and after the last, of what chunks add and what is `left` through each (B, H, K)."""
    state = torch.zeros_like(added[:, 0]) if state is None else state
    before = []
    for index in range(added.shape[1]):
        before.append(state)
        state = torch.addcmul(added[:, index], left[:, :, index, None, None], state)
    return torch.stack(before, dim=1), state
